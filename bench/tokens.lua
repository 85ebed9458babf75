-- Makes clusters with /new and writes their tokens, one a line, to the file named by $TOKENS.
local file = io.open(os.getenv("TOKENS"), "w")

function response(status, headers, body)
  local token = body:match("([^/]+)$")
  if status == 200 and token then file:write(token, "\n") end
end

function done()
  file:close()
end
