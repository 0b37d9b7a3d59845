/* SPDX-License-Identifier: MIT */
/* lib_net.c - stream sockets: what luapark/net.lua tries, and waits for.
 *
 * Nothing here parks but wait and lookup; every other call answers at once,
 * nil and UV_EAGAIN where it would have to wait.  The loops are Lua's: a C
 * function cannot go on after its coroutine has yielded.
 *
 * An address is a string that holds a struct sockaddr; an error a libuv code. */
#include <arpa/inet.h>
#include <string.h>
#include <sys/un.h>

#include "base/buf.h"
#include "base/os.h"
#include "lua/fd.h"
#include "lua/share.h"
#include "park/resolve.h"
#include "park/timer.h"

#define LOOKUP "luapark.lookup"

struct netfd *fd_check(lua_State *L, int idx)
{
	static struct netfd gone = {.fd = -1, .shared = true, .lock = LOCK_INIT(RANK_OBJ)};
	struct obj *o = share_checkref(L, idx);
	if (!o)
		return &gone; /* as if it were closed */
	luaL_argcheck(L, o->kind == OBJ_CONN || o->kind == OBJ_LISTENER, idx, "socket expected");
	return (struct netfd *)o;
}

int fd_fail(lua_State *L, ssize_t code)
{
	lua_pushnil(L);
	lua_pushinteger(L, (lua_Integer)code);
	return 2;
}

/* Pushes a closed socket, to be filled. */
static struct netfd *newfd(lua_State *L)
{
	struct netfd *nf = netfd_new();
	if (!nf)
		luaL_error(L, "not enough memory");
	share_pushref(L, &nf->o);
	return nf;
}

/* Returns true, or nil and the code if there is one. */
static int done(lua_State *L, int err)
{
	if (err != 0)
		return fd_fail(L, err);
	lua_pushboolean(L, 1);
	return 1;
}

/* Opening and closing ------------------------------------------------------- */

static const struct sockaddr *checkaddr(lua_State *L, int idx, socklen_t *len)
{
	size_t n;
	const char *s = luaL_checklstring(L, idx, &n);
	luaL_argcheck(L, n >= sizeof(sa_family_t) && n <= sizeof(struct sockaddr_storage), idx, "address expected");
	*len = (socklen_t)n;
	return (const struct sockaddr *)s;
}

/* connect(addr) -> fd, whether it must still be waited for | nil, code */
static int l_connect(lua_State *L)
{
	socklen_t len;
	const struct sockaddr *sa = checkaddr(L, 1, &len);
	struct sockaddr_storage addr; /* aligned */
	memcpy(&addr, sa, len);
	struct netfd *nf = newfd(L);
	int err = netfd_connect(nf, (struct sockaddr *)&addr, len);
	if (err != 0 && err != NETFD_AGAIN)
		return fd_fail(L, err);
	lua_pushboolean(L, err == NETFD_AGAIN);
	return 2;
}

/* connected(fd) -> true | nil, code */
static int l_connected(lua_State *L)
{
	return done(L, netfd_connected(fd_check(L, 1)));
}

/* listen(addr, backlog, reuseport) -> fd | nil, code */
static int l_listen(lua_State *L)
{
	socklen_t len;
	const struct sockaddr *sa = checkaddr(L, 1, &len);
	struct sockaddr_storage addr;
	memcpy(&addr, sa, len);
	int backlog = luaL_optint(L, 2, SOMAXCONN);
	int err = netfd_listen(newfd(L), (struct sockaddr *)&addr, len, backlog, lua_toboolean(L, 3));
	return err == 0 ? 1 : fd_fail(L, err);
}

/* accept(fd) -> fd | nil, code */
static int l_accept(lua_State *L)
{
	struct netfd *ln = fd_check(L, 1);
	int err = netfd_accept(ln, newfd(L));
	return err == 0 ? 1 : fd_fail(L, err);
}

static int l_close(lua_State *L)
{
	netfd_close(fd_check(L, 1));
	return 0;
}

/* shutdown(fd): no more will be written */
static int l_shutdown(lua_State *L)
{
	return done(L, netfd_shutdown(fd_check(L, 1), SHUT_WR));
}

static int l_nodelay(lua_State *L)
{
	return done(L, netfd_nodelay(fd_check(L, 1), lua_toboolean(L, 2)));
}

/* settimeout(fd, seconds | nil) */
static int l_settimeout(lua_State *L)
{
	netfd_settimeout(fd_check(L, 1), luaL_optnumber(L, 2, -1));
	return 0;
}

/* timeout(fd) -> seconds | nil */
static int l_timeout(lua_State *L)
{
	double seconds = netfd_timeout(fd_check(L, 1));
	if (seconds < 0)
		return 0;
	lua_pushnumber(L, seconds);
	return 1;
}

/* Tests only: number(fd) -> the descriptor, -1 if it is closed */
static int l_number(lua_State *L)
{
	struct netfd *nf = fd_check(L, 1);
	netfd_lock(nf);
	int fd = nf->fd;
	netfd_unlock(nf);
	lua_pushinteger(L, fd);
	return 1;
}

static void pushaddr(lua_State *L, const struct sockaddr_storage *addr)
{
	char host[INET6_ADDRSTRLEN];
	if (addr->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)addr;
		inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
		lua_pushfstring(L, "%s:%d", host, ntohs(in->sin_port));
	} else if (addr->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)addr;
		inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
		lua_pushfstring(L, "[%s]:%d", host, ntohs(in6->sin6_port));
	} else {
		lua_pushstring(L, ((const struct sockaddr_un *)addr)->sun_path);
	}
}

/* address(fd, peer) -> "host:port" | nil, code */
static int l_address(lua_State *L)
{
	struct sockaddr_storage addr;
	int err = netfd_address(fd_check(L, 1), lua_toboolean(L, 2), &addr);
	if (err != 0)
		return fd_fail(L, err);
	pushaddr(L, &addr);
	return 1;
}

/* Reading and writing ------------------------------------------------------- */

/* Takes n bytes of the input as a string; of a line, all but its end.  Holding the lock,
 * which it releases. */
static int take(lua_State *L, struct netfd *nf, size_t n, bool chop)
{
	size_t have, len = n;
	const char *s = netfd_input(nf, &have);
	if (chop && len > 0 && s[len - 1] == '\n')
		len--;
	if (chop && len > 0 && len < n && s[len - 1] == '\r')
		len--;
	if (!nf->shared) {
		lua_pushlstring(L, s, len);
		netfd_consume(nf, n);
		return 1;
	}
	/* Making a string may collect, and so call a finalizer that uses the socket. */
	struct buf copy __attribute__((cleanup(buf_free))) = {0};
	buf_put(&copy, s, len);
	if (!copy.failed)
		netfd_consume(nf, n);
	netfd_unlock(nf);
	if (copy.failed)
		return luaL_error(L, "not enough memory");
	lua_pushlstring(L, len > 0 ? (const char *)copy.p : "", len);
	return 1;
}

/* The same, or the error n. */
static int result(lua_State *L, struct netfd *nf, ssize_t n, bool chop)
{
	if (n >= 0)
		return take(L, nf, (size_t)n, chop);
	netfd_unlock(nf);
	return fd_fail(L, n);
}

/* readline(fd, keepend) -> line | nil, code */
static int l_readline(lua_State *L)
{
	struct netfd *nf = fd_check(L, 1);
	netfd_lock(nf);
	return result(L, nf, netfd_line(nf), !lua_toboolean(L, 2));
}

/* readn(fd, n) -> n bytes, fewer only at the end of the input | nil, code */
static int l_readn(lua_State *L)
{
	struct netfd *nf = fd_check(L, 1);
	lua_Number want = luaL_checknumber(L, 2);
	netfd_lock(nf);
	return result(L, nf, nf->fd < 0 ? UV_EBADF : netfd_atleast(nf, (size_t)want), false);
}

/* readall(fd) -> all there is until the end of the input | nil, code */
static int l_readall(lua_State *L)
{
	struct netfd *nf = fd_check(L, 1);
	netfd_lock(nf);
	ssize_t n = netfd_atleast(nf, SIZE_MAX);
	return result(L, nf, n == UV_EOF ? 0 : n, false);
}

/* readany(fd, max) -> what is there, at least a byte | nil, code */
static int l_readany(lua_State *L)
{
	struct netfd *nf = fd_check(L, 1);
	size_t have, max = (size_t)luaL_checknumber(L, 2);
	netfd_lock(nf);
	ssize_t n = netfd_atleast(nf, 1);
	netfd_input(nf, &have);
	return result(L, nf, n < 0 ? n : (ssize_t)(have < max ? have : max), false);
}

/* write(fd, s, from) -> how many bytes, counted from the from-th | nil, code */
static int l_write(lua_State *L)
{
	size_t len;
	struct netfd *nf = fd_check(L, 1);
	const char *s = luaL_checklstring(L, 2, &len);
	size_t from = (size_t)luaL_optnumber(L, 3, 1) - 1;
	ssize_t n = netfd_write(nf, s + from, len - from);
	if (n < 0)
		return fd_fail(L, n);
	lua_pushnumber(L, (lua_Number)n);
	return 1;
}

/* Waiting ------------------------------------------------------------------- */

/* The running G, about to park.  NULL when it may not park; then the answer (nil, 0, why) is on the stack. */
static G *maypark(lua_State *L, struct lstate *ls)
{
	const char *why = host_nopark(L, ls);
	if (!why)
		return hostcurg(ls);
	lua_pushnil(L);
	lua_pushinteger(L, 0);
	lua_pushstring(L, why);
	return NULL;
}

/* gp will park for at most the seconds at idx (nil: any time); the sudog behind them (or nil)
 * may end its wait, too. */
static void limit(lua_State *L, G *gp, int idx)
{
	gp->sel = (uint32_t)lua_tointeger(L, idx + 1);
	if (!lua_isnoneornil(L, idx))
		timer_parkfor(gp, nanoseconds(lua_tonumber(L, idx)));
}

/* wait(fd, forwriting, seconds | nil, sudog | nil): parks until fd is ready; what came of it
 * is in the view (POLL_*).  -> nothing | nil, code [, why] */
static int l_wait(lua_State *L)
{
	struct lstate *ls = hostof(L);
	struct netfd *nf = fd_check(L, 1);
	G *gp = maypark(L, ls);
	if (!gp)
		return 3;
	int err = netfd_wait(nf, lua_toboolean(L, 2) ? POLL_WRITE : POLL_READ, gp);
	if (err != 0)
		return fd_fail(L, err);
	limit(L, gp, 3);
	return host_parkret(L, ls, WR_IO, 0);
}

struct lookup {
	struct resolve *r;
};

static int l_newlookup(lua_State *L)
{
	struct lookup *lk = lua_newuserdata(L, sizeof *lk);
	lk->r = NULL;
	luaL_getmetatable(L, LOOKUP);
	lua_setmetatable(L, -2);
	return 1;
}

/* lookup(lk, host, service, passive, family, seconds, sudog): parks until it is looked up.
 * -> nothing | nil, code [, why] */
static int l_lookup(lua_State *L)
{
	struct lstate *ls = hostof(L);
	struct lookup *lk = luaL_checkudata(L, 1, LOOKUP);
	int err = 0;
	G *gp = maypark(L, ls);
	if (!gp)
		return 3;
	lk->r = resolve_start(ls->pp, gp, lua_tostring(L, 2), lua_tostring(L, 3), lua_toboolean(L, 4),
			      luaL_checkint(L, 5), &err);
	if (!lk->r)
		return fd_fail(L, err);
	limit(L, gp, 6);
	return host_parkret(L, ls, WR_RESOLVE, 0);
}

static int l_forget(lua_State *L)
{
	struct lookup *lk = luaL_checkudata(L, 1, LOOKUP);
	if (lk->r)
		resolve_free(lk->r);
	lk->r = NULL;
	return 0;
}

/* lookedup(lk) -> list of addresses | nil, code */
static int l_lookedup(lua_State *L)
{
	struct lookup *lk = luaL_checkudata(L, 1, LOOKUP);
	if (!lk->r->done)
		return fd_fail(L, UV_ETIMEDOUT);
	if (lk->r->status != 0)
		return fd_fail(L, lk->r->status);
	int n = 0;
	lua_newtable(L);
	for (struct addrinfo *ai = lk->r->list; ai; ai = ai->ai_next) {
		lua_pushlstring(L, (const char *)ai->ai_addr, ai->ai_addrlen);
		lua_rawseti(L, -2, ++n);
	}
	return 1;
}

/* numeric(host, port) -> address, its family; or nil if host is a name */
static int l_numeric(lua_State *L)
{
	const char *host = luaL_checkstring(L, 1);
	int port = luaL_checkint(L, 2);
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	if (uv_ip4_addr(host, port, &in) == 0)
		lua_pushlstring(L, (const char *)&in, sizeof in);
	else if (uv_ip6_addr(host, port, &in6) == 0)
		lua_pushlstring(L, (const char *)&in6, sizeof in6);
	else
		return 0;
	lua_pushinteger(L, ((const struct sockaddr *)lua_tostring(L, -1))->sa_family);
	return 2;
}

/* unixaddr(path) -> address */
static int l_unixaddr(lua_State *L)
{
	size_t len;
	const char *path = luaL_checklstring(L, 1, &len);
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	luaL_argcheck(L, len > 0 && len < sizeof un.sun_path, 1, "path expected");
	memcpy(un.sun_path, path, len);
	lua_pushlstring(L, (const char *)&un, sizeof un);
	return 1;
}

/* error(code) -> the system's words, its name */
static int l_error(lua_State *L)
{
	int code = luaL_checkint(L, 1);
	lua_pushstring(L, uv_strerror(code));
	lua_pushstring(L, uv_err_name(code));
	return 2;
}

void lib_net_open(lua_State *L, struct lstate *ls)
{
	static const luaL_Reg funcs[] = {
		{"connect", l_connect},	  {"connected", l_connected}, {"listen", l_listen},
		{"accept", l_accept},	  {"close", l_close},	      {"shutdown", l_shutdown},
		{"nodelay", l_nodelay},	  {"address", l_address},     {"readline", l_readline},
		{"readn", l_readn},	  {"readall", l_readall},     {"readany", l_readany},
		{"write", l_write},	  {"wait", l_wait},	      {"newlookup", l_newlookup},
		{"lookup", l_lookup},	  {"forget", l_forget},	      {"lookedup", l_lookedup},
		{"numeric", l_numeric},	  {"unixaddr", l_unixaddr},   {"error", l_error},
		{"timeout", l_timeout},	  {"settimeout", l_settimeout}, {"number", l_number},
		{NULL, NULL}};
	static const struct {
		const char *name;
		int code;
	} codes[] = {{"EAGAIN", UV_EAGAIN}, {"EOF", UV_EOF},	     {"EBADF", UV_EBADF},
		     {"EPIPE", UV_EPIPE},   {"ETIMEDOUT", UV_ETIMEDOUT}, {"READY", POLL_READY},
		     {"CLOSED", POLL_CLOSED}, {"TIMEOUT", POLL_TIMEOUT}, {"INET", AF_INET},
		     {"INET6", AF_INET6},     {"UNIXMAX", sizeof((struct sockaddr_un *)0)->sun_path - 1}};
	luaL_newmetatable(L, LOOKUP);
	lua_pushcfunction(L, l_forget);
	lua_setfield(L, -2, "__gc");
	lua_pop(L, 1);
	lua_newtable(L);
	host_register(L, ls, funcs);
	for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
		lua_pushinteger(L, codes[i].code);
		lua_setfield(L, -2, codes[i].name);
	}
	lua_setfield(L, -2, "net");
}
