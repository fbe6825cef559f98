-- wrk's part: hooks with 12 positions, every order another one. Prints one line of JSON when done.
-- Arguments after "--": the prefix of the order ids, unique for each run of wrk.
local counter = 0
local prefix = ""
local before, after

local function position(number)
  return string.format('{"id":"sku-%d","originalQuantity":%d,"quantity":%d,"price":"85.00","discountPrice":"80.00","weight":"0.5",'
    .. '"totalPrice":"%d.00","totalDiscountPrice":"%d.00"}', number, number, number, 85 * number, 80 * number)
end

function init(arguments)
  prefix = arguments[1] or "w"
  local positions = {}
  for number = 1, 12 do positions[number] = position(number) end
  before = '{"event_type":"order.created","timestamp":"2026-11-21T10:00:00+03:00","payload":{"originalOrderId":"'
  after = '","storeID":"17","comment":"call first","shipmentMethod":"by_courier","replacementPolicy":"call_or_replace",'
    .. '"customer":{"name":"Test Customer","phone":"+70000000000","email":"nobody@example.org"},'
    .. '"address":{"full_address":"1 Example Street, flat 2"},"payment":{"method":"card"},"zone":"moscow","tariff":"express",'
    .. '"positions":[' .. table.concat(positions, ",") .. '],"total":{"totalPrice":"6630.00","discountTotalPrice":"6240.00"}}}'
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  wrk.headers["Client-token"] = "bench-token"
end

function request()
  counter = counter + 1
  return wrk.format(nil, nil, nil, before .. prefix .. counter .. after)
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"seconds":%.6f,"p50_ms":%.3f,"p99_ms":%.3f,"max_ms":%.3f,"not_2xx":%d,"socket_errors":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
