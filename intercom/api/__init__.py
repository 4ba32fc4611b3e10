"""HTTP to Intercom's API: sessions, retries, typed errors, rate limit.

Terms in this package:

request       one call as the package means it: sent in one or more attempts
attempt       one HTTP request that is sent; needs a permit of the rate limiter
failure       an attempt without a usable answer
throttle      an attempt that is answered with 429: the server has not executed it, so it is no failure
retry         another attempt of the same request
backoff       the random wait before a retry; its upper bound doubles with each failure
permit        the right to send one attempt; given back when its answer is there or lost
in flight     sent and not answered yet
quota         the requests that Intercom allows in one rate window to all clients on one token
rate window   the ten seconds, by the server's clock, in which it counts requests against the quota
fair share    the part of the quota that one of several clients takes
urgent        a request that leaves before all that wait
heavy         a request, or a failure of it, that may be too much work for the server in one page
"""
