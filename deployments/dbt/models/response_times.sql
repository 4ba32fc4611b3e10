{{ config(enabled=var('conversation_parts')) }}
-- Each reply of an admin to a contact who was waiting: since when, how long, and in which conversation.
-- A contact waits from the first of the messages that no admin has answered yet.
with messages as (
    select id as conversation_id, created_at, '' as part_id, source_author_type as author_type,
        source_author_id as author_id
    from {{ source('intercom', 'conversations') }}
    union all
    select conversation_id, created_at, id, author_type, author_id
    from {{ source('intercom', 'conversation_parts') }}
    where part_type in ('comment', 'assignment', 'open', 'close') and body is not null
),

turns as (
    select
        *,
        author_type = 'admin' as by_admin,
        lag(author_type = 'admin') over (
            partition by conversation_id order by created_at, part_id
        ) as after_admin
    from messages
    where author_type in ('admin', 'user', 'lead', 'contact')
),

waits as (
    select
        *,
        max(case when not by_admin and coalesce(after_admin, true) then created_at end) over (
            partition by conversation_id order by created_at, part_id
        ) as waiting_since
    from turns
)

select
    part_id,
    conversation_id,
    author_id as admin_id,
    waiting_since,
    created_at as replied_at,
    date_diff('second', waiting_since, created_at) as seconds,
    row_number() over (partition by conversation_id order by created_at, part_id) as reply
from waits
where by_admin and not after_admin
