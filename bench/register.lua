-- Registers three members under each of the clusters whose tokens stand in the file named by $TOKENS, as
-- etcd does it: create, form-encoded.
local tokens = {}
for token in io.lines(os.getenv("TOKENS")) do tokens[#tokens + 1] = token end

local sent = 0
local headers = { ["Content-Type"] = "application/x-www-form-urlencoded" }

function request()
  local cluster, member = math.floor(sent / 3) % #tokens + 1, sent % 3
  sent = sent + 1
  local path = string.format("/%s/%016x?prevExist=false", tokens[cluster], member + 1)
  local value = string.format("value=infra%d%%3Dhttp%%3A%%2F%%2F10.0.0.%d%%3A2380", member, member + 1)
  return wrk.format("PUT", path, headers, value)
end
