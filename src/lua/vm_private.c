/* SPDX-License-Identifier: MIT */
/* vm_private.c - vm.h for the executable's own build of LuaJIT.
 *
 * The one file that includes LuaJIT's private headers.  It reads; the only
 * things it ever writes are the hook mark, as LuaJIT's own hook_save and
 * hook_restore do, the count hook's countdown, and which coroutine runs. */
#include "lua/vm.h"

#include "lj_obj.h"

#include "lj_bc.h"
#include "lj_ctype.h"
#include "lj_frame.h"
#include "lj_vm.h"
#include "lua/dump.h"

bool vm_isluajit(void)
{
	return true; /* our own */
}

void vm_init(void)
{
}

const char *vm_busy(lua_State *L)
{
	uint8_t mask = G(L)->hookmask;
	if (mask & HOOK_GC)
		return "a finalizer";
	if (mask & HOOK_VMEVENT)
		return "a VM event handler (jit.attach)";
	return NULL;
}

_Static_assert(VM_BUSY == (HOOK_GC | HOOK_VMEVENT), "see vm.h");

const uint8_t *vm_hookmask(lua_State *L)
{
	return &G(L)->hookmask;
}

void vm_current(lua_State *L)
{
	setgcref(G(L)->cur_L, obj2gco(L));
}

int vm_savehook(lua_State *L)
{
	global_State *g = G(L);
	int saved = hook_save(g);
	hook_restore(g, saved & ~HOOK_ACTIVE);
	return saved;
}

void vm_restorehook(lua_State *L, int saved)
{
	global_State *g = G(L);
	hook_restore(g, saved);
	vm_current(L);
}

int vm_hookleft(lua_State *L)
{
	return G(L)->hookcount;
}

void vm_sethook(lua_State *L, lua_Hook fn, int mask, int count, int left)
{
	lua_sethook(L, fn, mask, count);
	if (left > 0)
		G(L)->hookcount = left;
}

/* Where the Lua function that called us goes on: behind its call instruction.
 * NULL if no Lua function did.  A call from compiled code stands behind a
 * continuation frame, which holds the same address. */
static const BCIns *callerpc(lua_State *L)
{
	cTValue *f = L->base - 1;
	if (frame_islua(f))
		return frame_pc(f);
	if (frame_iscont(f) && frame_contf(f) == lj_cont_stitch)
		return frame_contpc(f);
	return NULL;
}

struct callsite vm_callsite(lua_State *L)
{
	struct callsite cs = {{0, 0, 0}, true};
	const BCIns *pc = callerpc(L);
	if (!pc)
		return cs;
	BCOp op = bc_op(pc[-1]);
	cs.wantsresult = !((op == BC_CALL || op == BC_CALLM) && bc_b(pc[-1]) == 1);
	cTValue *f = L->base - 1;
	/* The calling function's frame: below the continuation for a stitched call. */
	f = frame_islua(f) ? frame_prevl(f) : frame_prevd(f);
	GCfunc *fn = frame_func(f);
	if (!isluafunc(fn))
		return cs;
	/* A prototype's address may be used again after it was collected; then its
	 * chunk name or its extent gives it away. */
	GCproto *pt = funcproto(fn);
	cs.key[0] = (uintptr_t)pc;
	cs.key[1] = (uintptr_t)proto_chunkname(pt) ^ proto_chunkname(pt)->hash;
	cs.key[2] = ((uintptr_t)(uint32_t)pt->firstline << 32) ^ (uint32_t)pt->numline ^ pt->sizebc;
	return cs;
}

bool vm_iscallback(lua_State *L, const void *fn)
{
	const CTState *cts = ctype_ctsG(G(L));
	return cts && cts->cb.mcode && (uintptr_t)fn - (uintptr_t)cts->cb.mcode < LJ_PAGESIZE;
}

bool vm_knowscallbacks(void)
{
	return true;
}

int vm_cparams(lua_State *L, int idx, bool *variadic, bool *words)
{
	CTState *cts = ctype_ctsG(G(L));
	const void *p = lua_topointer(L, idx);
	if (!cts || !p || lua_type(L, idx) != LUA_TCDATA)
		return -1;
	const CType *ct = ctype_raw(cts, ((const GCcdata *)p - 1)->ctypeid);
	if (ctype_isptr(ct->info))
		ct = ctype_rawchild(cts, (CType *)ct);
	if (!ctype_isfunc(ct->info))
		return -1;
	int n = 0;
	*variadic = (ct->info & CTF_VARARG) != 0;
	*words = true;
	for (CTypeID id = ct->sib; id;) {
		CType *field = ctype_get(cts, id);
		id = field->sib;
		if (ctype_isattrib(field->info))
			continue;
		const CType *d = ctype_rawchild(cts, field);
		*words &= ctype_isptr(d->info) || ctype_isenum(d->info) || ctype_isinteger(d->info) || ctype_isbool(d->info);
		n++;
	}
	return n;
}

const char *vm_unstoppable(void)
{
	return NULL; /* built with LUAJIT_ENABLE_CHECKHOOK */
}

int vm_edgeevents(void)
{
	return LUA_MASKCOUNT;
}

/* Whether the function that runs was called by a C function, or for an operator: these may
 * go on for long (a sort), with no other edge than the ends of what they call. */
static bool calledbyc(lua_State *L)
{
	cTValue *f = L->base - 1;
	if (frame_isvarg(f))
		f = frame_prevd(f);
	return !frame_islua(f);
}

bool vm_atedge(lua_State *L)
{
	const BCIns *pc = cframe_Lpc(L); /* NOLINT(bugprone-implicit-widening-of-multiplication-result): LuaJIT's macro */
	BCIns ins = pc[-1];
	switch (bc_op(ins)) {
	case BC_FORL: case BC_IFORL: case BC_JFORL:
	case BC_ITERL: case BC_IITERL: case BC_JITERL:
	case BC_LOOP: case BC_ILOOP: case BC_JLOOP:
		return true;
	case BC_JMP: /* goto */
		return bc_j(ins) < 0;
	case BC_RETM: case BC_RET: case BC_RET0: case BC_RET1:
		return calledbyc(L);
	case BC_CALL: case BC_CALLM: case BC_CALLT: case BC_CALLMT: { /* recursion; no C function goes on for ever */
		cTValue *f = L->base + bc_a(ins);
		return tvisfunc(f) && isluafunc(funcV(f));
	}
	default:
		return false;
	}
}

#define SAME_OP(op) _Static_assert((int)DUMP_##op == (int)BC_##op, "see dump.h")
SAME_OP(UGET);
SAME_OP(USETV);
SAME_OP(USETP);
SAME_OP(GGET);
SAME_OP(GSET);
SAME_OP(TGETS);
_Static_assert(DUMP_UVLOCAL == PROTO_UV_LOCAL && DUMP_UVIMMUTABLE == PROTO_UV_IMMUTABLE, "see dump.h");

const void *vm_proto(lua_State *L, int idx)
{
	const GCfunc *fn = lua_topointer(L, idx);
	return isluafunc(fn) ? mref(fn->l.pc, void) : NULL;
}

bool vm_upvalimmutable(lua_State *L, int idx, int n)
{
	const GCupval *uv = lua_upvalueid(L, idx, n);
	return uv && uv->immutable;
}

bool vm_knowsupvalues(void)
{
	return true;
}

const void *vm_tablebytes(const void *table, size_t *n)
{
	const GCtab *t = table;
	if (t->asize > 0 || gcref(t->metatable))
		return NULL;
	*n = ((size_t)t->hmask + 1) * sizeof(Node);
	return noderef(t->node);
}
