-- Reads clusters in a random order, whose tokens stand in the file named by $TOKENS, one a line.
local tokens = {}
for token in io.lines(os.getenv("TOKENS")) do tokens[#tokens + 1] = token end

function request()
  return wrk.format("GET", "/" .. tokens[math.random(#tokens)])
end
