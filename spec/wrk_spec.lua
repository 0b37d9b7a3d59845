-- wrk: `luapark load` in place of Debian's wrk. Both run with the same arguments and scripts (spec/wrk) against a server
-- that notes each request (spec/wrk/server.lua): they ask the same, and say the same.

local checking = require "spec.wrk.checking"
local helper = require "spec.helper"
local loadreport = require "luapark.loadreport"

-- The programs that are compared are the same in both ways to run the specs.
if not helper.inexe then
  return
end

describe("wrk and luapark load", function()
  local servers = {} -- one for each, so that they can run at a time

  setup(function()
    servers.theirs, servers.ours = checking.start(), checking.start()
  end)

  teardown(function()
    servers.theirs:stop()
    servers.ours:stop()
  end)

  -- What both make of a command line, in which URL stands for the server's. Neither fails. Each: { out =, noted = what the
  -- server did }, the server's address evened out.
  local function both(args)
    local sides, command = { theirs = { program = "wrk" }, ours = { program = helper.quote(helper.exe) .. " load" } }, ""
    for name, side in pairs(sides) do
      side.file = os.tmpname()
      command = command .. ("(%s %s; echo $? >&2) >%s 2>%s.err & "):format(side.program,
        args:gsub("URL", servers[name].url), side.file, side.file)
    end
    helper.sh(command .. "wait")
    for name, side in pairs(sides) do
      local address = servers[name].address:gsub("%p", "%%%0")
      local function even(text)
        return (text:gsub(address, "ADDRESS"))
      end
      side.out = even(helper.slurp(side.file))
      side.noted = assert(loadstring(even(servers[name]:get "/-/report")))()
      assert.equal("0\n", even(helper.slurp(side.file .. ".err")))
      os.remove(side.file)
      os.remove(side.file .. ".err")
    end
    return sides.theirs, sides.ours
  end

  local function sorted(t)
    local list = {}
    for k in pairs(t) do
      list[#list + 1] = k
    end
    table.sort(list)
    return list
  end

  -- The distinct requests are the same. -> these, sorted
  local function sameforms(theirs, ours)
    local forms = sorted(theirs.noted.forms)
    assert.is_true(#forms > 0)
    assert.same(forms, sorted(ours.noted.forms))
    return forms
  end

  -- What the script printed, of what came before the summary.
  local function before(side)
    local text = side.out:match "^(.-)Running %d+s test @ [^\n]+\n"
    return (text:gsub("\nwrk%.port: %d+\n", "\nwrk.port: PORT\n"))
  end

  -- Numbers evened out, and the blanks before them.
  local function shape(text)
    return (text:gsub(" +(%d)", " %1"):gsub("%d+%.?%d*[a-zA-Z]*", "N"))
  end

  it("ask for a URL", function()
    local theirs, ours = both "-t1 -c2 -d1 URL/some/path?a=b"
    assert.same({ "GET /some/path?a=b HTTP/1.1\nHost: ADDRESS\n\n" }, sameforms(theirs, ours))
    assert.equal(theirs.noted.connections, ours.noted.connections)
  end)

  it("send headers", function()
    local theirs, ours = both "-t1 -c1 -d1 -H 'X-A: b  c ' -H 'Host: elsewhere' -H 'X-A: d' -H 'X-Empty: ' URL"
    assert.matches("Host: elsewhere", sameforms(theirs, ours)[1])
  end)

  it("print the same lines", function()
    local theirs, ours = both "-t2 -c4 -d1 --latency URL"
    assert.equal(shape(theirs.out), shape(ours.out))
    local at = theirs.out:gmatch "[^\n]*\n"
    for line in ours.out:gmatch "[^\n]*\n" do
      local like = at()
      if line:find "^    " or line:find "^Transfer" then -- a table: what has the same columns is as long
        assert.equal(#like, #line, line)
      end
    end
  end)

  it("print numbers alike", function()
    local theirs = both "-t2 -c4 -d1 --latency URL"
    local seen = 0
    local times, metric = { us = 1, ms = 1e3, s = 1e6, m = 60e6 }, { [""] = 1, k = 1e3, M = 1e6 }
    local bytes = { B = 1, KB = 2 ^ 10, MB = 2 ^ 20 }
    local function check(line, form, units)
      for number, unit in line:gmatch "(%d+%.%d%d)(%a*)%f[%s%z]" do
        assert.equal(number .. unit, form(number * units[unit]) .. (units == bytes and "B" or ""), line)
        seen = seen + 1
      end
    end
    for line in theirs.out:gmatch "[^\n]+" do
      if line:find "Latency  " or line:find "^ +%d+%%" then
        check(line, loadreport.time, times)
      elseif line:find "Req/Sec" then
        check(line, loadreport.metric, metric)
      elseif line:find "Transfer/sec" then
        check(line, loadreport.binary, bytes)
      end
    end
    assert.is_true(seen >= 10, theirs.out)
  end)

  it("count bad statuses", function()
    local theirs, ours = both "-t1 -c2 -d1 URL/status/404"
    for _, side in ipairs { theirs, ours } do
      local requests = side.out:match "(%d+) requests in"
      assert.equal(requests, side.out:match "\n  Non%-2xx or 3xx responses: (%d+)\n", side.out)
    end
    assert.equal(shape(theirs.out), shape(ours.out))
  end)

  it("do not count statuses below 400 as bad", function()
    local theirs, ours = both "-t1 -c2 -d1 URL/status/302"
    assert.equal(shape(theirs.out), shape(ours.out))
  end)

  it("begin again where the server closes", function()
    local theirs, ours = both "-t1 -c2 -d1 URL/close"
    sameforms(theirs, ours)
    for _, side in ipairs { theirs, ours } do
      assert.is_true(side.noted.connections > 10)
      assert.is_falsy(side.out:find "Socket errors", side.out)
    end
  end)

  it("give a script its arguments", function()
    local theirs, ours = both "-t2 -c2 -d1 -s spec/wrk/args.lua -H 'X-A: b' URL/x?y x -- -c 1 --latency ''"
    assert.is_truthy(before(theirs))
    assert.equal(before(theirs), before(ours))
    sameforms(theirs, ours)
  end)

  it("give a script its arguments, where there are none", function()
    local theirs, ours = both "-t1 -c1 -d1 -s spec/wrk/args.lua URL"
    assert.equal(before(theirs), before(ours))
  end)

  it("run addr.lua", function()
    local theirs, ours = both "-t2 -c2 -d1 -s spec/wrk/addr.lua URL"
    assert.equal(("this thread connects to ADDRESS\n"):rep(2), before(theirs))
    assert.equal(before(theirs), before(ours))
    sameforms(theirs, ours)
  end)

  it("run auth.lua", function()
    local theirs, ours = both "-t1 -c1 -d1 -s spec/wrk/auth.lua URL"
    assert.equal(2, #sameforms(theirs, ours))
    assert.same(theirs.noted.sequences[1], ours.noted.sequences[1])
    assert.is_falsy(ours.out:find "Non%-2xx", ours.out)
  end)

  it("run counter.lua", function()
    local theirs, ours = both "-t1 -c1 -d1 -s spec/wrk/counter.lua URL"
    assert.is_true(#theirs.noted.sequences[1] > 20 and #ours.noted.sequences[1] > 20)
    for i = 1, math.min(#theirs.noted.sequences[1], #ours.noted.sequences[1]) do
      assert.equal(theirs.noted.sequences[1][i], ours.noted.sequences[1][i])
    end
  end)

  it("run delay.lua", function()
    local theirs, ours = both "-t1 -c2 -d1 -s spec/wrk/delay.lua URL"
    sameforms(theirs, ours)
    for _, side in ipairs { theirs, ours } do -- each of two connections waits for 20 ms at least
      assert.is_true(side.noted.requests > 4 and side.noted.requests <= 102, side.noted.requests)
    end
  end)

  it("run pipeline.lua", function()
    local theirs, ours = both "-t1 -c2 -d1 -s spec/wrk/pipeline.lua URL"
    assert.equal(3, #sameforms(theirs, ours))
    for _, sequence in ipairs(ours.noted.sequences) do
      for i, form in ipairs(sequence) do
        assert.equal(theirs.noted.sequences[1][(i - 1) % 3 + 1], form)
      end
    end
  end)

  it("run post.lua", function()
    local theirs, ours = both "-t1 -c2 -d1 -s spec/wrk/post.lua URL/form"
    assert.same({ "POST /form HTTP/1.1\nContent-Length: 22\nContent-Type: application/x-www-form-urlencoded\n"
      .. "Host: ADDRESS\n\nname=luapark&kind=moon" }, sameforms(theirs, ours))
  end)

  it("run report.lua", function()
    local theirs, ours = both "-t2 -c4 -d1 -s spec/wrk/report.lua URL/status/404"
    local values = {}
    for name, side in pairs { theirs = theirs, ours = ours } do
      values[name] = {}
      for field, value in side.out:match("\n%-%-%-%-\n(.*)$"):gmatch "([^\n]*): ([^\n]*)\n" do
        values[name][field] = assert(tonumber(value), side.out)
      end
    end
    assert.same(sorted(values.theirs), sorted(values.ours))
    for name, side in pairs { theirs = theirs, ours = ours } do
      local v = values[name]
      assert.equal(tonumber(side.out:match "(%d+) requests in"), v["summary.requests"])
      assert.equal(v["summary.requests"], v["errors.status"])
      assert.equal(0, v["errors.connect"] + v["errors.read"] + v["errors.write"] + v["errors.timeout"])
      assert.is_true(v["summary.duration"] >= 0.9e6 and v["summary.duration"] < 10e6, side.out)
      for _, of in ipairs { "latency", "requests" } do
        assert.is_true(v[of .. ".min"] > 0 and v[of .. ".min"] <= v[of .. ":percentile(50)"], side.out)
        assert.is_true(v[of .. ":percentile(50)"] <= v[of .. ":percentile(90)"], side.out)
        assert.is_true(v[of .. ":percentile(90)"] <= v[of .. ":percentile(99.999)"], side.out)
        assert.is_true(v[of .. ":percentile(99.999)"] <= v[of .. ".max"], side.out)
        assert.is_true(v[of .. ".mean"] >= v[of .. ".min"] and v[of .. ".mean"] <= v[of .. ".max"], side.out)
        assert.equal(v[of .. ".min"], v[of .. "(1)"], side.out)
        assert.is_true(v[of .. "(1) count"] >= 1 and v["#" .. of] >= 1, side.out)
      end
    end
  end)

  it("run setup.lua", function()
    local theirs, ours = both "-t2 -c2 -d1 -s spec/wrk/setup.lua URL -- hello world"
    assert.equal(before(theirs), before(ours))
    assert.equal(shape(theirs.out), shape(ours.out))
    for _, side in ipairs { theirs, ours } do
      local answered = 0
      for asked, got in side.out:gmatch "thread %d asked (%d+) and got (%d+), with hello and nil" do
        assert.is_true(tonumber(asked) >= tonumber(got))
        answered = answered + got
      end
      assert.equal(tonumber(side.out:match "(%d+) requests in"), answered, side.out)
    end
  end)

  it("run stop.lua", function()
    local theirs, ours = both "-t2 -c2 -d1 -s spec/wrk/stop.lua URL"
    for _, side in ipairs { theirs, ours } do
      assert.matches("\n  100 requests in ", side.out)
    end
    sameforms(theirs, ours)
  end)
end)
