-- Checks in with the reports that stand in the file named by $REPORTS, one a line, each in its turn.
local reports = {}
for report in io.lines(os.getenv("REPORTS")) do reports[#reports + 1] = report end

local sent = 0
local headers = { ["Content-Type"] = "application/json" }

function request()
  sent = sent + 1
  return wrk.format("POST", nil, headers, reports[sent % #reports + 1])
end
