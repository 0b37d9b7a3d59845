/* SPDX-License-Identifier: MIT */
#include "load/tally.h"

#include "load/pace.h"
#include "test.h"

TEST(tally_slots)
{
	/* Each slot begins where the last one ends, and its lowest value falls into it. */
	for (uint32_t i = 0; i < TALLY_SLOTS; i++) {
		uint64_t lowest = tally_lowest(i);
		if (lowest > TALLY_MOST)
			break;
		CHECK_EQ(tally_slot(lowest), i);
		if (i > 0)
			CHECK_EQ(tally_slot(lowest - 1), i - 1);
	}
	CHECK_EQ(tally_lowest(2047), 2047);
	CHECK_EQ(tally_lowest(2048), 2048);
	CHECK_EQ(tally_lowest(2049), 2050);
	/* HdrHistogram's published equivalents. */
	CHECK_EQ(tally_lowest(tally_slot(10007)), 10000);
	CHECK_EQ(tally_lowest(tally_slot(10008)), 10008);
	CHECK_EQ(tally_lowest(tally_slot(100000000)), 99942400);
	CHECK(tally_slot(TALLY_MOST) < TALLY_SLOTS);
	CHECK_EQ(tally_slot(UINT64_MAX), tally_slot(TALLY_MOST));
}

TEST(tally_times)
{
	static struct times t;
	tally_time(&t, -5);
	tally_time(&t, 999);
	tally_time(&t, 1000);
	tally_time(&t, INT64_MAX);
	CHECK_EQ(t.n[0], 2);
	CHECK_EQ(t.n[1], 1);
	CHECK_EQ(t.n[tally_slot(TALLY_MOST)], 1);
}

TEST(tally_causes)
{
	static struct causes cs;
	static char words[100][4];
	tally_cause(&cs, LOAD_READ, 104, NULL);
	tally_cause(&cs, LOAD_WRITE, 104, NULL);
	tally_cause(&cs, LOAD_READ, 104, NULL);
	tally_cause(&cs, LOAD_READ, 0, "words");
	tally_cause(&cs, LOAD_READ, 0, "words");
	CHECK_EQ(cs.n, 3);
	CHECK_EQ(cs.list[0].n, 2);
	CHECK_EQ(cs.list[1].n, 1);
	CHECK_EQ(cs.list[2].n, 2);
	uint64_t sum = 0;
	for (int i = 0; i < 100; i++) { /* more than there is room for: none is lost */
		words[i][0] = (char)('a' + i / 10);
		words[i][1] = (char)('a' + i % 10);
		tally_cause(&cs, LOAD_CONNECT, 0, words[i]);
	}
	CHECK_EQ(cs.n, TALLY_CAUSES);
	for (uint32_t i = 0; i < cs.n; i++)
		sum += cs.list[i].n;
	CHECK_EQ(sum, 105);
}

TEST(pace)
{
	CHECK_EQ(pace_when(100, 10, 0), 100);
	CHECK_EQ(pace_when(100, 10, 7), 170);
	CHECK_EQ(pace_when(0, 1e9 / 3, 3), 1000000000);
	CHECK_EQ(pace_when(0, 1e9 / 3, 3000000000), 1000000000000000000);
	/* What is too far is never. */
	CHECK_EQ(pace_when(INT64_MAX - 5, 1, 6), INT64_MAX);
	CHECK_EQ(pace_when(INT64_MAX - 5, 1, 5), INT64_MAX);
	CHECK_EQ(pace_when(0, 1e12, 1u << 30), INT64_MAX);
	CHECK_EQ(pace_when(5, 1e300, 1), INT64_MAX);
	CHECK_EQ(pace_when(5, 1e300, UINT64_MAX), INT64_MAX);
}
