/* SPDX-License-Identifier: Apache-2.0 */
#include "store/ledger_page.h"

#include <endian.h>
#include <string.h>

#include "base/assert.h"

enum { VERSION = 3, HEAD_BYTES = 6, COLUMN_HEAD_BYTES = 9 };

enum column { ID, FROM, TO, NODE, POOL, DEBIT, CREDIT, AMOUNT, GPU, PROJECT, USER, JOB, LEASE, RULE, ENERGY, CARBON, COLUMNS };

/* In place of carbon that is not known. */
enum { UNKNOWN = -1 };

_Static_assert((int)COLUMNS == (int)WEIR_LEDGER_PAGE_COLUMNS, "a row per column");

void weir_ledger_page_add(struct weir_ledger_page *page, const struct weir_posting *p)
{
    WEIR_ASSERT(page->n < WEIR_LEDGER_PAGE_ROWS);
    uint32_t i = page->n++;
    page->column[ID][i] = (int64_t)p->id;
    page->column[FROM][i] = p->from.us;
    page->column[TO][i] = p->to.us;
    page->column[NODE][i] = (int64_t)p->node.v;
    page->column[POOL][i] = p->pool.v;
    page->column[DEBIT][i] = p->debit;
    page->column[CREDIT][i] = p->credit;
    page->column[AMOUNT][i] = p->amount_micro;
    page->column[GPU][i] = (int64_t)p->gpu_us;
    page->column[PROJECT][i] = p->project.v;
    page->column[USER][i] = p->user.v;
    page->column[JOB][i] = (int64_t)p->run.task.job.v;
    page->column[LEASE][i] = (int64_t)p->lease.v;
    page->column[RULE][i] = (int64_t)p->rule;
    page->column[ENERGY][i] = p->energy_mj;
    page->column[CARBON][i] = p->carbon_unknown ? UNKNOWN : p->carbon_ug;
}

void weir_ledger_page_get(const struct weir_ledger_page *page, uint32_t i, struct weir_posting *ret)
{
    WEIR_ASSERT(i < page->n);
    ret->id = (uint64_t)page->column[ID][i];
    ret->from.us = page->column[FROM][i];
    ret->to.us = page->column[TO][i];
    ret->node.v = (uint64_t)page->column[NODE][i];
    ret->pool.v = (uint32_t)page->column[POOL][i];
    ret->debit = (uint8_t)page->column[DEBIT][i];
    ret->credit = (uint8_t)page->column[CREDIT][i];
    ret->amount_micro = page->column[AMOUNT][i];
    ret->gpu_us = (uint64_t)page->column[GPU][i];
    ret->project.v = (uint32_t)page->column[PROJECT][i];
    ret->user.v = (uint32_t)page->column[USER][i];
    ret->run.task.job.v = (uint64_t)page->column[JOB][i];
    ret->lease.v = (uint64_t)page->column[LEASE][i];
    ret->rule = (uint64_t)page->column[RULE][i];
    ret->energy_mj = page->column[ENERGY][i];
    ret->carbon_unknown = page->column[CARBON][i] == UNKNOWN;
    ret->carbon_ug = ret->carbon_unknown ? 0 : page->column[CARBON][i];
}

static void range_of(const int64_t *v, uint32_t n, int64_t *ret_least, int64_t *ret_most)
{
    *ret_least = v[0];
    *ret_most = v[0];
    for (uint32_t i = 1; i < n; i++) {
        *ret_least = v[i] < *ret_least ? v[i] : *ret_least;
        *ret_most = v[i] > *ret_most ? v[i] : *ret_most;
    }
}

struct weir_wall weir_ledger_page_from(const struct weir_ledger_page *page)
{
    struct weir_wall from;
    int64_t most;
    WEIR_ASSERT(page->n > 0);
    range_of(page->column[FROM], page->n, &from.us, &most);
    return from;
}

static uint8_t width_of(uint64_t most)
{
    return most == 0 ? 0 : most <= UINT8_MAX ? 1 : most <= UINT16_MAX ? 2 : most <= UINT32_MAX ? 4 : 8;
}

static size_t pack_column(const int64_t *v, uint32_t n, uint8_t *ret)
{
    int64_t least;
    int64_t most;
    range_of(v, n, &least, &most);
    uint8_t width = width_of((uint64_t)most - (uint64_t)least);
    uint64_t head = htole64((uint64_t)least);
    memcpy(ret, &head, sizeof head);
    ret[sizeof head] = width;
    for (uint32_t i = 0; i < n && width > 0; i++) {
        uint64_t above = htole64((uint64_t)v[i] - (uint64_t)least);
        memcpy(ret + COLUMN_HEAD_BYTES + (size_t)i * width, &above, width);
    }
    return COLUMN_HEAD_BYTES + (size_t)n * width;
}

size_t weir_ledger_page_pack(const struct weir_ledger_page *page, uint8_t *ret)
{
    WEIR_ASSERT(page->n > 0);
    uint32_t n = htole32(page->n);
    ret[0] = VERSION;
    ret[1] = COLUMNS;
    memcpy(ret + 2, &n, sizeof n);
    size_t at = HEAD_BYTES;
    for (int k = 0; k < COLUMNS; k++) {
        at += pack_column(page->column[k], page->n, ret + at);
    }
    return at;
}

/* One loop per width: each is turned into a few wide instructions. */
static void unpack_values(int64_t *ret, uint32_t n, uint64_t least, uint8_t width, const uint8_t *p)
{
    for (uint32_t i = 0; width == 0 && i < n; i++) {
        ret[i] = (int64_t)least;
    }
    for (uint32_t i = 0; width == 1 && i < n; i++) {
        ret[i] = (int64_t)(least + p[i]);
    }
    for (uint32_t i = 0; width == 2 && i < n; i++) {
        uint16_t v;
        memcpy(&v, p + (size_t)i * 2, sizeof v);
        ret[i] = (int64_t)(least + le16toh(v));
    }
    for (uint32_t i = 0; width == 4 && i < n; i++) {
        uint32_t v;
        memcpy(&v, p + (size_t)i * 4, sizeof v);
        ret[i] = (int64_t)(least + le32toh(v));
    }
    for (uint32_t i = 0; width == 8 && i < n; i++) {
        uint64_t v;
        memcpy(&v, p + (size_t)i * 8, sizeof v);
        ret[i] = (int64_t)(least + le64toh(v));
    }
}

int weir_ledger_page_unpack(struct weir_ledger_page *page, const uint8_t *p, size_t n, struct weir_err *err)
{
    uint32_t rows = 0;
    page->n = 0;
    if (n >= HEAD_BYTES) {
        memcpy(&rows, p + 2, sizeof rows);
        rows = le32toh(rows);
    }
    if (n < HEAD_BYTES || p[0] != VERSION || p[1] != COLUMNS || rows == 0 || rows > WEIR_LEDGER_PAGE_ROWS) {
        return weir_fail(err, -WEIR_ECORRUPT, "a page of the ledger has a head that is not valid");
    }
    size_t at = HEAD_BYTES;
    for (int k = 0; k < COLUMNS; k++) {
        uint64_t least;
        uint8_t width = n - at < COLUMN_HEAD_BYTES ? UINT8_MAX : p[at + sizeof least];
        bool known = width <= 2 || width == 4 || width == 8;
        if (!known || n - at - COLUMN_HEAD_BYTES < (size_t)rows * width) {
            return weir_fail(err, -WEIR_ECORRUPT, "a page of the ledger is cut short, or its column %d is not valid", k + 1);
        }
        memcpy(&least, p + at, sizeof least);
        unpack_values(page->column[k], rows, le64toh(least), width, p + at + COLUMN_HEAD_BYTES);
        at += COLUMN_HEAD_BYTES + (size_t)rows * width;
    }
    if (at != n) {
        return weir_fail(err, -WEIR_ECORRUPT, "a page of the ledger has %zu bytes too many", n - at);
    }
    page->n = rows;
    return 0;
}
