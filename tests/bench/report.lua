-- Prints wrk's totals as one line of JSON; with POST_BYTES set it posts a body of that size.
local size = tonumber(os.getenv("POST_BYTES") or "0")
if size > 0 then
   wrk.method = "POST"
   wrk.body = string.rep("x", size)
   wrk.headers["Content-Type"] = "application/octet-stream"
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      'RESULT {"requests": %d, "us": %d, "p50": %d, "p99": %d, "max": %d, "errors": %d}\n',
      summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
      latency.max, errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
