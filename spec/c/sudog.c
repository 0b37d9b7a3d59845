/* SPDX-License-Identifier: MIT */
#include "park/sudog.h"

#include <errno.h>

#include "base/os.h"
#include "test.h"

TEST(sudog_table_stays)
{
	struct sudog *t = sudogtable();
	CHECK(t && sudogtable() == t);
	CHECK_EQ(p0.view.sudogfree, 0);
}

/* Each slot is handed out once; 0 never. */
TEST(sudog_refill_gives_new_slots)
{
	static bool seen[1000];
	const struct sudog *t = sudogtable();
	int n = 0;
	for (int round = 0; round < 3; round++) {
		CHECK(sudogrefill(&p0));
		uint32_t s = p0.view.sudogfree;
		CHECK(s != 0);
		for (; s; s = t[s].next) {
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
	sudogtable();
	CHECK(sudogrefill(&p0));
	G g = {0};
	sudogdone(&g); /* waits in no line */
	CHECK_EQ(sudogtable()[0].done, 0);
	g.sel = p0.view.sudogfree;
	sudogdone(&g);
	CHECK_EQ(sudogtable()[g.sel].done, 1);
}

TEST(sudog_table_shrinks_where_addresses_are_few)
{
	os_failnth(1, ENOMEM);
	CHECK(sudogtable() != NULL);
	CHECK(sudogrefill(&p0));
}

static void notable(void)
{
	test_narrow(1 << 20);
	sudogtable();
}

TEST_NARROW(sudog_table_without_addresses)
{
	CHECK_THROWS(notable, "no address space for the table of waiters");
}

TEST_NARROW(sudog_table_full)
{
	/* 65,536 is the smallest it shrinks to: 24 bytes each. */
	test_narrow(((size_t)1 << 16) * sizeof(struct sudog) + (1 << 16));
	sudogtable();
	int n = 0;
	while (sudogrefill(&p0))
		CHECK(++n <= 1024);
	CHECK_EQ(n, 1023); /* slot 0 costs the last chunk */
	CHECK(!sudogrefill(&p0));
}
