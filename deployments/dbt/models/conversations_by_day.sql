-- Conversations by the day on which they began: how many, how many are closed, how long people waited, how they rated.
select
    cast(created_at as date) as day,
    count(*) as conversations,
    count(*) filter (where state = 'closed') as closed,
    median(statistics_time_to_admin_reply) as median_seconds_to_reply,
    avg(conversation_rating_rating) as rating
from {{ source('intercom', 'conversations') }}
where created_at is not null
group by day
