/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both readers of price files. The first byte chooses: 's' reads SkyPilot's columns, 'p' those of
 * providers.csv, anything else the catalogue's own. Whatever was taken must be sane, and what is
 * written must be read again without a complaint.
 */

#include <stdlib.h>

#include "base/mem.h"
#include "cloud/offers.h"
#include "fuzz.h"

static void check(bool ok)
{
    if (!ok) {
        abort();
    }
}

static void read_again(const struct weir_catalogue *c, size_t n)
{
    struct weir_str out = WEIR_STR_INIT(8 << 20);
    weir_catalogue_write(c, NULL, &out);
    check(!out.overflowed);
    struct weir_catalogue *d = weir_catalogue_new(weir_catalogue_gpus(c), "USD");
    check(weir_catalogue_load_rows(d, "again", weir_str_sv(&out), NULL) == 0);
    weir_catalogue_seal(d);
    size_t m;
    (void)weir_catalogue_offers(d, NULL, &m);
    check(m == n);
    weir_catalogue_free(d);
    weir_str_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > 65536) {
        return 0;
    }
    struct weir_sv text = {(const char *)data + 1, size - 1};
    const struct weir_wall now = {INT64_C(1795305600000000)};
    struct weir_gpu_table *gpus = weir_gpu_table_new();
    struct weir_catalogue *c = weir_catalogue_new(gpus, "USD");
    struct weir_err err;
    size_t taken = 0;
    if (data[0] == 's') {
        (void)weir_catalogue_load_skypilot(c, "f", text, "aws", "fuzz", now, &taken, &err);
    } else if (data[0] == 'p') {
        (void)weir_catalogue_load_providers(c, "f", text, &err);
    } else {
        (void)weir_catalogue_load_rows(c, "f", text, &err);
    }
    weir_catalogue_seal(c);
    size_t n;
    const struct weir_offer *o = weir_catalogue_offers(c, NULL, &n);
    for (size_t i = 0; i < n; i++) {
        check(o[i].price_micro_per_hour > 0 && o[i].id != 0 && o[i].gpus <= WEIR_NODE_GPUS_MAX);
        check(o[i].instance_type[0] != '\0' && o[i].bill_quantum.us > 0);
    }
    struct weir_offer_list l = {0};
    struct weir_offer_query q = {0};
    weir_offer_list_add_catalogue(&l, c);
    check(weir_offer_list_rank(&l, &q, gpus, now, true) <= n);
    weir_offer_list_release(&l);
    read_again(c, n);
    weir_catalogue_free(c);
    weir_gpu_table_free(gpus);
    return 0;
}
