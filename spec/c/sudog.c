/* SPDX-License-Identifier: MIT */
#include "park/sudog.h"

#include <errno.h>

#include "base/os.h"
#include "test.h"

enum { SMALLEST = 1 << 16, ARRAYS = 6 };

/* Every array has room for the last slot, and none reaches into another. */
TEST(sudog_arrays_are_apart)
{
	sudogs_init();
	int32_t *const a[ARRAYS] = {sudogs.next, sudogs.prev, sudogs.g, sudogs.own, sudogs.index, sudogs.done};
	uint32_t last = (1 << 25) - 1;
	for (int i = 0; i < ARRAYS; i++)
		a[i][0] = a[i][last] = i + 1;
	for (int i = 0; i < ARRAYS; i++)
		CHECK(a[i][0] == i + 1 && a[i][last] == i + 1);
	CHECK_EQ(p0.view.sudogfree, 0);
}

/* Each slot is handed out once; 0 never. */
TEST(sudog_refill_gives_new_slots)
{
	static bool seen[1000];
	int n = 0;
	sudogs_init();
	for (int round = 0; round < 3; round++) {
		CHECK(sudogrefill(&p0));
		uint32_t s = p0.view.sudogfree;
		CHECK(s != 0);
		for (; s; s = (uint32_t)sudogs.next[s]) {
			CHECK(s < 1000 && !seen[s]);
			seen[s] = true;
			n++;
		}
		p0.view.sudogfree = 0; /* all taken */
	}
	CHECK_EQ(n, 3 * 64);
	CHECK(!seen[0]);
}

TEST(sudog_done)
{
	sudogs_init();
	CHECK(sudogrefill(&p0));
	G g = {0};
	sudogdone(&g); /* waits in no line */
	CHECK_EQ(sudogs.done[0], 0);
	g.sel = p0.view.sudogfree;
	sudogdone(&g);
	CHECK_EQ(sudogs.done[g.sel], 1);
}

TEST(sudog_table_shrinks_where_addresses_are_few)
{
	os_failnth(1, ENOMEM);
	sudogs_init();
	CHECK(sudogrefill(&p0));
}

static void notable(void)
{
	test_narrow(1 << 20);
	sudogs_init();
}

TEST_NARROW(sudog_table_without_addresses)
{
	CHECK_THROWS(notable, "no address space for the table of waiters");
}

TEST_NARROW(sudog_table_full)
{
	test_narrow(ARRAYS * sizeof(int32_t) * (SMALLEST + 1000));
	sudogs_init();
	int n = 0;
	while (sudogrefill(&p0))
		CHECK(++n <= 1024);
	CHECK_EQ(n, 1023); /* slot 0 costs the last chunk */
	CHECK(!sudogrefill(&p0));
}
