-- SPDX-License-Identifier: MIT

-- post: sends a form, always the same.

wrk.method = "POST"
wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
wrk.body = "name=luapark&kind=moon"
