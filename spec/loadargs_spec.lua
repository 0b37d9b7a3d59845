-- loadargs: the command line of `luapark load`, in part by comparison with Debian's wrk.

local helper = require "spec.helper"
local loadargs = require "luapark.loadargs"

local URL = "http://127.0.0.1:1/" -- where nobody listens

-- A command line's words; 'these are one'.
local function words(line)
  local argv = {}
  for quoted, plain in line:gsub("'([^']*)'", function(s) return "\1" .. s:gsub(" ", "\2") end)
    :gmatch "(\1?)(%S+)" do
    argv[#argv + 1] = (quoted .. plain):gsub("\1", ""):gsub("\2", " ")
  end
  return argv
end

local function parse(line)
  return loadargs.parse(words(line))
end

local function accepted(line)
  local opts, why = parse(line)
  assert.is_nil(why, line)
  return opts
end

-- The line is refused with a message that contains each of these.
local function refused(line, ...)
  local opts, why = parse(line)
  assert.is_nil(opts, line)
  for _, text in ipairs { ... } do
    assert.is_truthy(why:find(text, 1, true), ("'%s' is not in: %s"):format(text, why))
  end
  assert.is_falsy(why:find "\n", why)
  return why
end

describe("a load's command line", function()
  it("has wrk's defaults", function()
    assert.same({
      url = "http://127.0.0.1:1/", scheme = "http", host = "127.0.0.1", port = "1", urlport = "1", path = "/",
      threads = 2, connections = 10, duration = 10, timeout = 2, headers = {}, latency = false,
      args = { [0] = "http://127.0.0.1:1/" },
    }, accepted(URL))
  end)

  it("takes every option", function()
    helper.withfile("from a file\0\n", function(name)
      local argv = words(("-t4 -c 100 -d30s -s x.lua -H 'X-A: b' -H 'X-A: c' --latency --timeout 5s -R 2k -n 1M"
        .. " -m PUT --json out.json %s -- a -c b"):format(URL))
      table.insert(argv, 1, "-b@" .. name)
      local opts = assert(loadargs.parse(argv))
      assert.same({
        url = URL, scheme = "http", host = "127.0.0.1", port = "1", urlport = "1", path = "/", threads = 4,
        connections = 100, duration = 30, timeout = 5, headers = { { "X-A", "b" }, { "X-A", "c" } }, latency = true,
        script = "x.lua", rate = 2000, number = 1e6, method = "PUT", body = "from a file\0\n", json = "out.json",
        args = { [0] = URL, "a", "-c", "b" },
      }, opts)
    end)
  end)

  it("takes values joined and apart, short and long, before and after the URL", function()
    for _, line in ipairs {
      "-t4 -c8 U", "-t 4 -c 8 U", "--threads 4 --connections 8 U", "--threads=4 --connections=8 U", "U -t4 -c8",
      "-t4 U -c8", "--thr=4 --conn 8 U", "-t 1 -c8 -t4 U", "-c8 -t4 -- U", "-Lt4 -c 8 U",
    } do
      local opts = accepted((line:gsub("U", URL)))
      assert.equal(4, opts.threads, line)
      assert.equal(8, opts.connections, line)
      assert.same({ [0] = URL }, opts.args, line)
    end
  end)

  it("gives the script what wrk does", function()
    for line, want in pairs {
      ["U -- a b"] = { [0] = "U", "a", "b" },
      ["-c10 U x -d 1 -- -y"] = { [0] = "U", "x", "-y" },
      ["-- U --"] = { [0] = "U", "--" },
      ["U --"] = { [0] = "U" },
      ["U - -- --"] = { [0] = "U", "-", "--" },
    } do
      local function full(s) return (s:gsub("U", URL)) end
      want[0] = full(want[0])
      assert.same(want, accepted(full(line)).args, line)
    end
  end)

  it("reads numbers and times with units", function()
    for text, want in pairs { ["16"] = 16, ["1k"] = 1e3, ["20K"] = 2e4, ["1M"] = 1e6, ["1m"] = 1e6, [" 64"] = 64 } do
      assert.equal(want, loadargs.parse({ "-c", text, URL }).connections, text)
    end
    assert.equal(3e9, accepted("-n 3G " .. URL).number)
    for text, want in pairs { ["1"] = 1, ["2s"] = 2, ["2S"] = 2, ["3m"] = 180, ["2h"] = 7200, ["250ms"] = 0.25,
      ["500us"] = 0.0005, ["5 m"] = 300, ["007"] = 7 } do
      assert.equal(want, loadargs.parse({ "-d", text, URL }).duration, text)
      assert.equal(want, loadargs.parse({ "--timeout=" .. text, URL }).timeout, text)
    end
  end)

  it("is as long as a number of requests takes, unless it says how long", function()
    assert.is_nil(accepted("-n 5 " .. URL).duration)
    assert.equal(3, accepted("-n 5 -d 3 " .. URL).duration)
  end)

  it("takes a URL apart", function()
    for url, want in pairs {
      ["http://h"] = { "h", nil, "/" },
      ["http://h/"] = { "h", nil, "/" },
      ["HTTP://h:8080"] = { "h", "8080", "/" },
      ["http://a.b-c_d.e:1/x/y?a=b&c=http://d/#part"] = { "a.b-c_d.e", "1", "/x/y?a=b&c=http://d/" },
      ["http://h?q=@"] = { "h", nil, "/?q=@" },
      ["http://h#f"] = { "h", nil, "/" },
      ["http://[::1]:80/"] = { "::1", "80", "/" },
      ["http://[fe80::1%eth0]/"] = { "fe80::1%eth0", nil, "/" },
      ["http://[::ffff:127.0.0.1]:65535/"] = { "::ffff:127.0.0.1", "65535", "/" },
    } do
      local opts, why = loadargs.parse { url }
      assert.is_nil(why)
      assert.same({ want[1], want[2] or "none", want[2] or "80", want[3], "http", url },
        { opts.host, opts.urlport or "none", opts.port, opts.path, opts.scheme, opts.url })
    end
  end)

  it("takes headers apart", function()
    local function value(text)
      return loadargs.parse({ "-H", text, URL }).headers[1]
    end
    assert.same({ "Host", "a:80" }, value "Host: a:80")
    assert.same({ "X", "" }, value "X:")
    assert.same({ "X", "y" }, value "X:y")
    assert.same({ "X", " y " }, value "X:  y ")
  end)

  it("sends a body by POST, unless told otherwise", function()
    local opts = accepted("-b text " .. URL)
    assert.same({ "text", "POST" }, { opts.body, opts.method })
    opts = accepted("-b text -m PATCH " .. URL)
    assert.same({ "text", "PATCH" }, { opts.body, opts.method })
    assert.same({ "", "POST" }, { loadargs.parse({ "-b", "", URL }).body, loadargs.parse({ "-b", "", URL }).method })
    assert.is_nil(accepted(URL).method)
  end)

  it("may only ask for help, or for the version", function()
    assert.same({ help = true }, accepted "--help")
    assert.same({ help = true }, accepted("-c 5 -h -x " .. URL))
    assert.same({ version = true }, accepted "-v")
    assert.is_true(accepted("--version " .. URL).version)
    assert.matches("^Usage: luapark load <options> <url>", loadargs.usage)
    for option in ("-c -d -t -n -R -s -H -m -b --latency --timeout --json -v -h"):gmatch "%S+" do
      assert.is_truthy(loadargs.usage:find(option .. "[, ]"), option)
    end
  end)

  it("is refused in words that name what is wrong", function()
    refused("", "no URL")
    refused("-c 10 -d 1", "no URL")
    refused("-c " .. URL, "-c", "'" .. URL .. "'")
    refused(URL .. " -c", "option '-c' needs a value")
    refused(URL .. " --duration", "option '--duration' needs a value")
    refused("-x " .. URL, "unknown option '-x'")
    refused("-Lx " .. URL, "unknown option '-x'")
    refused("--foo " .. URL, "unknown option '--foo'")
    refused("--foo=1 " .. URL, "unknown option '--foo'")
    refused("--t=1 " .. URL, "ambiguous", "--threads", "--timeout")
    refused("--latency=1 " .. URL, "option '--latency' takes no value")
    for _, text in ipairs { "1q", "x", "-5", "1.5", "1e5", "0x10", "nan", "inf", "1kk", "5s", "''", "--" } do
      refused("-c " .. text .. "  " .. URL, "-c '" .. text:gsub("'", "") .. "'", "expected")
    end
    for _, text in ipairs { "5x", "nan", "-1", "1.5h", "2mm", "1d", "1k" } do
      refused("--timeout=" .. text .. " " .. URL, "--timeout '" .. text .. "'", "time expected")
    end
    refused("-R 0 " .. URL, "-R '0'", "from 1")
    refused("-n 0 " .. URL, "-n '0'", "from 1")
    refused("-t 0 " .. URL, "-t '0'", "from 1")
    refused("-d 0 " .. URL, "-d '0'", "above 0")
    refused("-c 99999999999999999999999999999999 " .. URL, "-c", "up to 1000000")
    refused("-c " .. ("9"):rep(400) .. " " .. URL, "up to 1000000")
    refused("-d 999999999999h " .. URL, "-d", "up to")
    refused("-t 5000 -c 5000 " .. URL, "-t", "up to 1024")
    refused("-t 8 -c 4 " .. URL, "number of connections must be >= threads")
    refused("-t 11 " .. URL, "number of connections must be >= threads")
    refused("-H novalue " .. URL, "-H 'novalue'", "'Name: value' expected")
    refused("-H ': x' " .. URL, "'Name: value' expected")
    refused("-H 'a b: x' " .. URL, "'Name: value' expected")
    refused("-m 'A B' " .. URL, "-m", "method expected")
    assert.matches("line breaks", select(2, loadargs.parse { "-H", "X: a\r\nY: b", URL }))
    assert.matches("name of a file expected", select(2, loadargs.parse { "-s", "", URL }))
    refused("-b @/nonexistent/file " .. URL, "-b '@/nonexistent/file'", "No such file or directory")
    refused("-b @/ " .. URL, "-b '@/'", "Is a directory")
  end)

  it("is refused for its URL", function()
    for url, why in pairs {
      ["127.0.0.1:80"] = "http://host", ["/"] = "http://host", ["http:/h"] = "http://host", ["h"] = "http://host",
      ["https://h/"] = "scheme 'https' is not supported", ["ftp://h/"] = "scheme 'ftp'",
      ["http://"] = "no host", ["http:///x"] = "no host", ["http://:80/"] = "bad host or port ':80'",
      ["http://h:/"] = "'h:'", ["http://h:x/"] = "'h:x'", ["http://h:1:2/"] = "'h:1:2'", ["http://::1/"] = "'::1'",
      ["http://[::1/"] = "'[::1'", ["http://[::1]x/"] = "'[::1]x'", ["http://[1]/"] = "'[1]'",
      ["http://h:0/"] = "port", ["http://h:65536/"] = "port", ["http://h:99999999999999999999/"] = "port",
      ["http://u:p@h/"] = "users", ["http://h/a b"] = "blanks", ["http://h/\1"] = "control", ["-"] = "http://host",
    } do
      local opts, message = loadargs.parse { url }
      assert.is_nil(opts, url)
      assert.is_truthy(message:find(("invalid URL '%s': "):format(url), 1, true), message)
      assert.is_truthy(message:find(why, 1, true), message)
    end
  end)

  it("is told apart from any other words", function()
    local pieces = { "-", "--", "-t", "-c", "-d", "=", "1", "0", "k", "ms", " ", "http://", "h", ":", "[", "]", "/", "@",
      "%", "\0", "\255", "latency", "timeout", "-b", "-H", "X: y", "99999999999999999999", "?", "#", "-n", "-R", "-L" }
    local rand = 1
    local function random(n)
      rand = (rand * 16807) % 2147483647
      return rand % n + 1
    end
    local good = 0
    for _ = 1, 20000 do
      local argv = {}
      for i = 1, random(5) do
        local word = ""
        for _ = 1, random(3) do
          word = word .. pieces[random(#pieces)]
        end
        argv[i] = word
      end
      if random(2) == 1 then
        argv[#argv + 1] = URL
      end
      local opts, why = loadargs.parse(argv)
      assert.is_true(opts == nil and type(why) == "string" and why ~= "" or type(opts) == "table")
      good = good + (opts and 1 or 0)
    end
    assert.is_true(good > 100)
  end)

  it("leaves no global and changes no argument", function()
    local globals = {}
    for k in pairs(_G) do
      globals[k] = true
    end
    local argv = words("-t4 -c8 " .. URL .. " -- a")
    local before = table.concat(argv, "\0")
    loadargs.parse(argv)
    loadargs.parse { "-x" }
    assert.equal(before, table.concat(argv, "\0"))
    for k in pairs(_G) do
      assert.is_true(globals[k], tostring(k))
    end
  end)
end)

-- wrk tells apart what it does not understand (its usage) from a server that it cannot reach.
describe("wrk and luapark load", function()
  local function wrk(line)
    local argv = words(line)
    for i, word in ipairs(argv) do
      argv[i] = helper.quote(word)
    end
    local out, err = helper.sh("wrk " .. table.concat(argv, " "))
    assert.is_truthy((out .. err):find "Usage: wrk" or err:find "unable to connect", line .. ": " .. out .. err)
    return not out:find "Usage: wrk"
  end

  local function same(want, list)
    for _, line in ipairs(list) do
      line = line:gsub("U", URL)
      assert.equal(want, wrk(line), "wrk " .. line)
      assert.equal(want, parse(line) ~= nil, line)
    end
  end

  it("accept the same", function()
    same(true, { "U", "-t1 U", "-c 20 U", "U -c 20", "--conn=20 U", "-t2 -c2 U", "-c 1k U", "-c 1K U", "-d 1h U", "-d2M U",
      "-T 5 U", "-L U", "-LLt2 U", "--lat U", "--timeout=2s U", "--timeout 2m U", "-H 'A: b' U", "-H A:b U", "U -- -x",
      "U x y", "-- U", "-d ' 5' U", "-d '5 s' U", "-t 04 U", "-v U", "--duration=1 --threads=2 U", "http://127.0.0.1:1",
      "http://127.0.0.1:1?x", "http://127.0.0.1:1/#x" })
  end)

  it("refuse the same", function()
    same(false, { "", "-t1", "-t0 U", "-c0 U", "-d0 U", "-c1 U", "-t20 U", "-c x U", "-c 1q U", "-c 1.5 U", "-c 5s U",
      "-c 1kk U", "-d 1k U", "-d 1x U", "-d nan U", "-t '' U", "-d mm U", "-q U", "--foo U", "--t=1 U", "--latency=1 U",
      "U -c", "--", "x", "http://", "127.0.0.1:1", "http:// U", "http://127.0.0.1:/",
      "http://127.0.0.1:x/", "'http://127.0.0.1:1/a b'", "http://[::1/", "http://127.0.0.1:65536/" })
  end)
end)
