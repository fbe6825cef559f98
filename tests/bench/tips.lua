-- wrk's part for tips: `set` posts set-tips-sum, `hold` gets need-hold-tips, for orders taken at random. Prints one line of JSON when done.
-- Arguments after "--": set or hold, the prefix of the orders' numbers, how many there are, a seed.
local what, prefix, orders

function init(arguments)
  what, prefix, orders = arguments[1], arguments[2], tonumber(arguments[3])
  math.randomseed(tonumber(arguments[4]))
  wrk.headers["Authorization"] = "Bearer internal-token"
  wrk.headers["X-Request-Timeout-Ms"] = "2000"
  if what == "set" then
    wrk.method = "POST"
    wrk.headers["Content-Type"] = "application/json"
  end
end

function request()
  local number = prefix .. math.random(1, orders)
  if what == "set" then
    return wrk.format(nil, "/tips/v1/set-tips-sum", nil, '{"order_id":"' .. number .. '"}')
  end
  return wrk.format(nil, "/tips/v1/need-hold-tips?order_id=" .. number)
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"seconds":%.6f,"p50_ms":%.3f,"p99_ms":%.3f,"max_ms":%.3f,"not_2xx":%d,"socket_errors":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
