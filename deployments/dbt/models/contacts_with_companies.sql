{{ config(enabled=var('contact_companies')) }}
-- Contacts, one row each, with the names of their companies and what these pay together.
select
    contacts.id,
    contacts.role,
    contacts.name,
    contacts.email,
    contacts.created_at,
    contacts.last_seen_at,
    count(companies.id) as companies,
    string_agg(companies.name, ', ' order by companies.name) as company_names,
    sum(companies.monthly_spend) as monthly_spend
from {{ source('intercom', 'contacts') }} as contacts
left join {{ source('intercom', 'contact_companies') }} as members on members.contact_id = contacts.id
left join {{ source('intercom', 'companies') }} as companies on companies.id = members.id
group by all
