/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Azure's quotas, location by location: vCPUs of each family of sizes, of all families together, and of all Spot machines. Azure's names
 * of families differ in case, spaces and underscores from place to place: only letters and digits count. Families by the documentation's
 * "GPU accelerated virtual machine sizes".
 */

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/parse.h"
#include "cloud/azure/azure_priv.h"

static const struct {
    const char *name;
    uint8_t market; /* enum weir_market */
    const char *type[2];
} families[] = {
    {"cores", WEIR_OFFER_ON_DEMAND, {"*"}},
    {"lowprioritycores", WEIR_OFFER_SPOT, {"*"}},
    {"standardncasv3t4family", WEIR_OFFER_ON_DEMAND, {"Standard_NC*as_T4_v3"}},
    {"standardncadsa100v4family", WEIR_OFFER_ON_DEMAND, {"Standard_NC*ads_A100_v4"}},
    {"standardncadsh100v5family", WEIR_OFFER_ON_DEMAND, {"Standard_NC*ads_H100_v5", "Standard_NC*adis_H100_v5"}},
    {"standardndasv4a100family", WEIR_OFFER_ON_DEMAND, {"Standard_ND96asr_v4"}},
    {"standardndamsv4a100family", WEIR_OFFER_ON_DEMAND, {"Standard_ND96amsr_A100_v4"}},
    {"standardndsh100v5family", WEIR_OFFER_ON_DEMAND, {"Standard_ND96isr_H100_v5"}},
    {"standardndisrh200v5family", WEIR_OFFER_ON_DEMAND, {"Standard_ND96isr_H200_v5"}},
    {"standardnvadsa10v5family", WEIR_OFFER_ON_DEMAND, {"Standard_NV*ads_A10_v5", "Standard_NV*adms_A10_v5"}},
};

/* Its letters and digits alone, in lower case. */
static void plain(const char *name, char *ret, size_t size)
{
    size_t n = 0;
    for (; *name != '\0' && n + 1 < size; name++) {
        if (isalnum((unsigned char)*name)) {
            ret[n++] = (char)tolower((unsigned char)*name);
        }
    }
    ret[n] = '\0';
}

void azure_quota(struct weir_provider *p, const char *page, struct weir_rest_request *q)
{
    struct azure *a = p->own;
    uint64_t network = 0;
    struct weir_sv link = weir_sv_of(page); /* after the network's number, where its list goes on */
    (void)weir_parse_u64(weir_sv_cut(&link, ' '), 0, a->n_networks - 1, &network, NULL);
    a->quota_network = (size_t)network;
    q->what = "list usages";
    q->method = "GET";
    if (link.n > 0) {
        weir_str_add(&q->url, link.p, link.n);
        return;
    }
    weir_str_addf(&q->url, "%s/subscriptions/%s/providers/Microsoft.Compute/locations/%s/usages?api-version=" AZURE_COMPUTE_VERSION, p->conf.endpoint,
                  a->subscription, a->network[network].region);
}

static void take(const struct azure *a, const json_t *usage, struct weir_rest_quotas *l)
{
    const json_t *name = json_object_get(usage, "name");
    char bare[WEIR_PROVIDER_QUOTA_NAME_SIZE];
    plain(weir_rest_text(name, "value"), bare, sizeof bare);
    for (size_t i = 0; i < WEIR_ARRAY_LEN(families); i++) {
        if (!weir_streq(bare, families[i].name) || (families[i].market == WEIR_OFFER_SPOT && !a->spot)) {
            continue;
        }
        struct weir_provider_quota q = {.unit = WEIR_QUOTA_UNIT_CORES, .markets = (uint8_t)(1u << families[i].market), .limit = weir_rest_count(usage, "limit"),
                                        .used = weir_rest_count(usage, "currentValue")};
        const char *shown = weir_rest_text(name, "localizedValue");
        (void)snprintf(q.name, sizeof q.name, "%s", shown[0] != '\0' ? shown : weir_rest_text(name, "value"));
        (void)snprintf(q.region, sizeof q.region, "%s", a->network[a->quota_network].region);
        for (size_t k = 0; k < WEIR_ARRAY_LEN(families[i].type) && families[i].type[k] != NULL; k++) {
            (void)snprintf(q.type[q.n_types++], sizeof q.type[0], "%s", families[i].type[k]);
        }
        weir_rest_quotas_add(l, &q);
    }
}

int azure_on_quota(struct weir_provider *p, const json_t *body, struct weir_rest_quotas *l, struct weir_err *err)
{
    const struct azure *a = p->own;
    const json_t *value = json_object_get(body, "value");
    const char *next = weir_rest_text(body, "nextLink");
    size_t n = strlen(p->conf.endpoint);
    char page[WEIR_REST_URL_SIZE];
    if (!json_is_array(value)) {
        return weir_fail(err, -WEIR_EIO, "a list of usages without 'value'");
    }
    /* Credentials go with the next page: only ever to where they belong. */
    if (next[0] != '\0' && (strncmp(next, p->conf.endpoint, n) != 0 || next[n] != '/' || strlen(next) + 32 > sizeof page)) {
        return weir_fail(err, -WEIR_EIO, "the next page of the usages is not at %s, or its address is too long", p->conf.endpoint);
    }
    for (size_t i = 0; i < json_array_size(value); i++) {
        take(a, json_array_get(value, i), l);
    }
    if (next[0] != '\0' || a->quota_network + 1 < a->n_networks) {
        bool goes_on = next[0] != '\0';
        (void)snprintf(page, sizeof page, "%zu%s%s", a->quota_network + (goes_on ? 0 : 1), goes_on ? " " : "", next);
        weir_rest_quotas_next(l, page);
    }
    return 0;
}
