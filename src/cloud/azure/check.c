/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the broker's identity may do in the resource group, before it is tried: Azure tells the actions of each role that it has there. An
 * action is allowed where one role's actions have it and the same role's notActions have not (Azure RBAC, "Understand role definitions").
 */

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cloud/azure/azure_priv.h"
#include "cloud/checks.h"

enum { ACTION_SIZE = 160 };

/* When an action is wanted. */
enum need { ALWAYS, FOR_ADDRESS, FOR_IDENTITY, FOR_GROUP };

static const struct {
    const char *action;
    enum need need;
} wanted[] = {
    {"Microsoft.Compute/virtualMachines/read", ALWAYS},
    {"Microsoft.Compute/virtualMachines/write", ALWAYS},
    {"Microsoft.Compute/virtualMachines/delete", ALWAYS},
    {"Microsoft.Compute/disks/write", ALWAYS},
    {"Microsoft.Compute/disks/delete", ALWAYS},
    {"Microsoft.Network/networkInterfaces/write", ALWAYS},
    {"Microsoft.Network/networkInterfaces/delete", ALWAYS},
    {"Microsoft.Network/networkInterfaces/join/action", ALWAYS},
    {"Microsoft.Network/publicIPAddresses/write", FOR_ADDRESS},
    {"Microsoft.Network/publicIPAddresses/delete", FOR_ADDRESS},
    {"Microsoft.Network/publicIPAddresses/join/action", FOR_ADDRESS},
    {"Microsoft.ManagedIdentity/userAssignedIdentities/assign/action", FOR_IDENTITY},
};

/* Of networks, which may lie in another group. */
static const struct {
    const char *action;
    enum need need;
} network_wanted[] = {
    {"Microsoft.Network/virtualNetworks/subnets/join/action", ALWAYS},
    {"Microsoft.Network/networkSecurityGroups/join/action", FOR_GROUP},
};

static bool is_needed(const struct azure *a, enum need need)
{
    bool has_group = false;
    for (size_t i = 0; i < a->n_networks; i++) {
        has_group = has_group || a->network[i].security_group[0] != '\0';
    }
    switch (need) {
    case ALWAYS:
        return true;
    case FOR_ADDRESS:
        return a->public_ip;
    case FOR_IDENTITY:
        return a->identity[0] != '\0';
    case FOR_GROUP:
        return has_group;
    }
    return true;
}

static void lower(const char *text, char ret[static ACTION_SIZE])
{
    size_t n = 0;
    for (; text[n] != '\0' && n + 1 < ACTION_SIZE; n++) {
        ret[n] = (char)tolower((unsigned char)text[n]);
    }
    ret[n] = '\0';
}

/* Azure's patterns heed no case; '*' stands for anything. */
static bool any_matches(const json_t *patterns, const char *action)
{
    char a[ACTION_SIZE];
    char p[ACTION_SIZE];
    lower(action, a);
    for (size_t i = 0; i < json_array_size(patterns); i++) {
        const char *text = json_string_value(json_array_get(patterns, i));
        if (text != NULL && strlen(text) < ACTION_SIZE) {
            lower(text, p);
            if (weir_glob_match(weir_sv_of(p), weir_sv_of(a))) {
                return true;
            }
        }
    }
    return false;
}

static bool is_allowed(const json_t *roles, const char *action)
{
    for (size_t i = 0; i < json_array_size(roles); i++) {
        const json_t *role = json_array_get(roles, i);
        if (any_matches(json_object_get(role, "actions"), action) && !any_matches(json_object_get(role, "notActions"), action)) {
            return true;
        }
    }
    return false;
}

static void add_missing(struct weir_str *out, const json_t *roles, const char *action)
{
    if (!is_allowed(roles, action)) {
        weir_str_addf(out, "%s%s", out->n > 0 ? ", " : "", action);
    }
}

void azure_check(struct weir_provider *p, unsigned step, struct weir_rest_request *q)
{
    const struct azure *a = p->own;
    if (step == 0) {
        q->what = "list permissions";
        q->method = "GET";
        weir_str_addf(&q->url, "%s/subscriptions/%s/resourceGroups/%s/providers/Microsoft.Authorization/permissions?api-version=2022-04-01", p->conf.endpoint,
                      a->subscription, a->group);
    }
}

void azure_on_check(struct weir_provider *p, unsigned step, const struct weir_cloud_answer *answer, const json_t *body, struct weir_checks *k)
{
    static const char role[] = "give the broker's identity a role with them on the resource group: docs/guide/providers/azure.md has the whole role";
    const struct azure *a = p->own;
    const json_t *roles = json_object_get(body, "value");
    WEIR_CLEANUP(weir_str_release) struct weir_str missing = WEIR_STR_INIT(4096);
    WEIR_CLEANUP(weir_str_release) struct weir_str of_network = WEIR_STR_INIT(4096);
    (void)step;
    if (!json_is_array(roles)) {
        weir_checks_add(k, "permissions", WEIR_CHECK_WARNING, "allow Microsoft.Authorization/permissions/read on the resource group; weir needs it for nothing else",
                        "could not be asked for: %s", answer->text[0] != '\0' ? answer->text : "the answer is not a list of permissions");
        return;
    }
    for (size_t i = 0; i < WEIR_ARRAY_LEN(wanted); i++) {
        if (is_needed(a, wanted[i].need)) {
            add_missing(&missing, roles, wanted[i].action);
        }
    }
    for (size_t i = 0; i < WEIR_ARRAY_LEN(network_wanted); i++) {
        if (is_needed(a, network_wanted[i].need)) {
            add_missing(&of_network, roles, network_wanted[i].action);
        }
    }
    bool is_whole = weir_rest_text(body, "nextLink")[0] == '\0'; /* roles that were not read may have what is missing */
    if (missing.n > 0) {
        weir_checks_add(k, "permissions", is_whole ? WEIR_CHECK_FAILED : WEIR_CHECK_WARNING, role, "missing on resource group %s: %s", a->group,
                        weir_str_cstr(&missing));
    }
    if (of_network.n > 0) {
        weir_checks_add(k, "network", WEIR_CHECK_WARNING, "give them there, or on the networks' own group, of which this does not tell",
                        "missing on resource group %s: %s", a->group, weir_str_cstr(&of_network));
    }
    if (missing.n == 0 && of_network.n == 0) {
        weir_checks_add(k, "permissions", WEIR_CHECK_OK, NULL, "resource group %s gives all that weir needs", a->group);
    }
}
