/* SPDX-License-Identifier: Apache-2.0 */
/* Pages of the ledger: what is packed comes back, and what is no page is refused. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/mem.h"
#include "base/prng.h"
#include "store/ledger_page.h"

static struct weir_ledger_page page;
static struct weir_ledger_page back;
static uint8_t packed[WEIR_LEDGER_PAGE_BYTES_MAX + 1];
static struct weir_err err;

static struct weir_posting posting_of(struct weir_prng *r, uint64_t id, uint64_t most)
{
    return (struct weir_posting){.id = id,
                                 .from = {(int64_t)weir_prng_below(r, most)},
                                 .to = {(int64_t)weir_prng_below(r, most)},
                                 .node = {weir_prng_below(r, most)},
                                 .pool = {(uint32_t)weir_prng_below(r, most)},
                                 .debit = (uint8_t)weir_prng_below(r, WEIR_ACCOUNT_MAX),
                                 .credit = (uint8_t)weir_prng_below(r, WEIR_ACCOUNT_MAX),
                                 .amount_micro = (int64_t)weir_prng_below(r, most),
                                 .gpu_us = weir_prng_below(r, most),
                                 .project = {(uint32_t)weir_prng_below(r, most)},
                                 .user = {(uint32_t)weir_prng_below(r, most)},
                                 .run = {{{weir_prng_below(r, most)}, 0}, 0},
                                 .lease = {weir_prng_below(r, most)},
                                 .rule = weir_prng_below(r, most),
                                 .energy_mj = (int64_t)weir_prng_below(r, most),
                                 .carbon_unknown = id % 5 == 0,
                                 .carbon_ug = id % 5 == 0 ? 0 : (int64_t)weir_prng_below(r, most)};
}

static void assert_same(const struct weir_posting *a, const struct weir_posting *b)
{
    assert_int_equal(a->id, b->id);
    assert_int_equal(a->from.us, b->from.us);
    assert_int_equal(a->to.us, b->to.us);
    assert_int_equal(a->node.v, b->node.v);
    assert_int_equal(a->pool.v, b->pool.v);
    assert_int_equal(a->debit, b->debit);
    assert_int_equal(a->credit, b->credit);
    assert_int_equal(a->amount_micro, b->amount_micro);
    assert_int_equal(a->gpu_us, b->gpu_us);
    assert_int_equal(a->project.v, b->project.v);
    assert_int_equal(a->user.v, b->user.v);
    assert_int_equal(a->run.task.job.v, b->run.task.job.v);
    assert_int_equal(a->lease.v, b->lease.v);
    assert_int_equal(a->rule, b->rule);
    assert_int_equal(a->energy_mj, b->energy_mj);
    assert_int_equal(a->carbon_ug, b->carbon_ug);
    assert_int_equal(a->carbon_unknown, b->carbon_unknown);
}

static void what_is_packed_comes_back(void **state)
{
    (void)state;
    static const uint64_t most[] = {1, 2, 255, 256, 257, 65536, 65537, UINT32_MAX, UINT64_C(1) << 33, INT64_MAX};
    static const uint32_t rows[] = {1, 2, 100, WEIR_LEDGER_PAGE_ROWS};
    for (size_t m = 0; m < WEIR_ARRAY_LEN(most); m++) {
        for (size_t k = 0; k < WEIR_ARRAY_LEN(rows); k++) {
            struct weir_prng r = weir_prng_seed(m * 10 + k);
            page.n = 0;
            int64_t from = INT64_MAX;
            for (uint32_t i = 0; i < rows[k]; i++) {
                struct weir_posting p = posting_of(&r, 1000 + i, most[m]);
                from = p.from.us < from ? p.from.us : from;
                weir_ledger_page_add(&page, &p);
            }
            assert_int_equal(weir_ledger_page_from(&page).us, from);
            size_t n = weir_ledger_page_pack(&page, packed);
            assert_true(n <= WEIR_LEDGER_PAGE_BYTES_MAX);
            assert_int_equal(weir_ledger_page_unpack(&back, packed, n, &err), 0);
            assert_int_equal(back.n, rows[k]);
            for (uint32_t i = 0; i < rows[k]; i++) {
                struct weir_posting a = {0};
                struct weir_posting b = {0};
                weir_ledger_page_get(&page, i, &a);
                weir_ledger_page_get(&back, i, &b);
                assert_same(&a, &b);
            }
        }
    }
}

/* Both ends of what a column may hold, in one page. */
static void extremes_come_back(void **state)
{
    (void)state;
    struct weir_posting low = {.from = {INT64_MIN}, .to = {INT64_MIN}, .amount_micro = INT64_MIN, .carbon_unknown = true};
    struct weir_posting high = {.id = INT64_MAX,
                                .from = {INT64_MAX},
                                .to = {INT64_MAX},
                                .node = {UINT64_MAX},
                                .pool = {UINT32_MAX},
                                .debit = UINT8_MAX,
                                .credit = UINT8_MAX,
                                .amount_micro = INT64_MAX,
                                .gpu_us = UINT64_MAX,
                                .energy_mj = INT64_MAX,
                                .carbon_ug = INT64_MAX,
                                .project = {UINT32_MAX},
                                .user = {UINT32_MAX},
                                .run = {{{UINT64_MAX}, 0}, 0}};
    page.n = 0;
    weir_ledger_page_add(&page, &low);
    weir_ledger_page_add(&page, &high);
    size_t n = weir_ledger_page_pack(&page, packed);
    assert_int_equal(weir_ledger_page_unpack(&back, packed, n, &err), 0);
    struct weir_posting p = {0};
    weir_ledger_page_get(&back, 0, &p);
    assert_same(&p, &low);
    weir_ledger_page_get(&back, 1, &p);
    assert_same(&p, &high);
}

static void what_is_no_page_is_refused(void **state)
{
    (void)state;
    struct weir_prng r = weir_prng_seed(7);
    page.n = 0;
    for (uint32_t i = 0; i < 50; i++) {
        struct weir_posting p = posting_of(&r, 1 + i, 100000);
        weir_ledger_page_add(&page, &p);
    }
    size_t n = weir_ledger_page_pack(&page, packed);
    for (size_t k = 0; k < n; k++) { /* cut anywhere */
        assert_int_equal(weir_ledger_page_unpack(&back, packed, k, &err), -WEIR_ECORRUPT);
        assert_int_equal(back.n, 0);
    }
    assert_int_equal(weir_ledger_page_unpack(&back, packed, n + 1, &err), -WEIR_ECORRUPT);
    assert_non_null(strstr(err.text, "1 bytes too many"));
    static const struct {
        size_t at;
        uint8_t byte;
    } rows[] = {{0, 2}, {0, 4}, {1, 15}, {1, 17}, {2, 0}, {4, 1}, {5, 255}, {14, 3}, {14, 9}, {14, 255}};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) { /* version, columns, rows, a column's width */
        uint8_t was = packed[rows[i].at];
        packed[rows[i].at] = rows[i].byte;
        assert_int_equal(weir_ledger_page_unpack(&back, packed, n, &err), -WEIR_ECORRUPT);
        packed[rows[i].at] = was;
    }
    assert_int_equal(weir_ledger_page_unpack(&back, packed, n, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_packed_comes_back),
        cmocka_unit_test(extremes_come_back),
        cmocka_unit_test(what_is_no_page_is_refused),
    };
    return cmocka_run_group_tests_name("ledger_page", tests, NULL, NULL);
}
