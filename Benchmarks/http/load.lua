-- What wrk sends, and what it tells afterwards: `wrk … load.lua URL -- METHOD PATH DEPTH`, DEPTH requests at a time.

local batch

function init(arguments)
    local one = wrk.format(arguments[1], arguments[2])
    batch = one:rep(tonumber(arguments[3]))
end

function request()
    return batch
end

function done(summary, latency, requests)
    local e = summary.errors
    print(string.format(
        'FIGURES {"requests": %d, "microseconds": %d, "p50_us": %d, "p99_us": %d, "failed": %d}',
        summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
        e.connect + e.read + e.write + e.status + e.timeout))
end
