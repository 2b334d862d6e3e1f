/* SPDX-License-Identifier: Apache-2.0 */
/* Virtual machines as Azure writes them: names, URLs, the body that makes one, and what is read of one. */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "cloud/azure/azure_priv.h"
#include "cloud/boot.h"

enum { CUSTOM_DATA_BYTES_MAX = 65535, BODY_BYTES_MAX = 192 * 1024 };

void azure_machine_url(const struct weir_provider *p, const char *name, const char *more, struct weir_str *ret)
{
    const struct azure *a = p->own;
    weir_str_addf(ret, "%s/subscriptions/%s/resourceGroups/%s/providers/Microsoft.Compute/virtualMachines%s?api-version=" AZURE_COMPUTE_VERSION "%s",
                  p->conf.endpoint, a->subscription, a->group, name, more);
}

/* ---- making one ---- */

/*
 * A machine that switches itself off stays allocated and is billed on: only who removes it ends that. With an identity that may, it does so itself.
 */
static void end_command(const struct weir_provider *p, const char *name, struct weir_str *ret)
{
    const struct azure *c = p->own;
    WEIR_CLEANUP(weir_str_release) struct weir_str url = WEIR_STR_INIT(WEIR_REST_URL_SIZE);
    char path[WEIR_REST_NAME_SIZE + 1];
    (void)snprintf(path, sizeof path, "/%s", name);
    azure_machine_url(p, path, "&forceDeletion=true", &url);
    weir_str_addf(ret,
                  "M='%s/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%%3A%%2F%%2Fmanagement.azure.com%%2F'\n"
                  "for i in 1 2 3 4 5; do\n"
                  "  T=$(curl -s -m 10 --noproxy '*' -H 'Metadata: true' \"$M\" | sed -n 's/.*\"access_token\" *: *\"\\([^\"]*\\)\".*/\\1/p')\n"
                  "  printf 'header = \"Authorization: Bearer %%s\"\\n' \"$T\" | curl -sf -m 30 -K - -X DELETE '%s' && sleep 60\n"
                  "  sleep 5\n"
                  "done\n"
                  "poweroff || systemctl poweroff || shutdown -h now\n",
                  c->metadata_endpoint, weir_str_cstr(&url));
}

static const struct azure_network *find_network(const struct azure *c, const char *name)
{
    for (size_t i = 0; i < c->n_networks; i++) {
        if (weir_streq(c->network[i].region, name)) {
            return &c->network[i];
        }
    }
    return NULL;
}

static void put_tags(struct weir_json *j, const struct weir_launch *l)
{
    char lease[24];
    (void)snprintf(lease, sizeof lease, "%" PRIu64, l->lease.v);
    weir_json_key(j, "tags");
    weir_json_object(j);
    weir_json_kv_cstr(j, "weir-owner", l->owner);
    weir_json_kv_cstr(j, "weir-token", l->token);
    weir_json_kv_cstr(j, "weir-lease", lease);
    weir_json_end(j);
}

static void put_image(struct weir_json *j, const char *image)
{
    static const char *const part[] = {"publisher", "offer", "sku", "version"};
    weir_json_key(j, "imageReference");
    weir_json_object(j);
    if (image[0] == '/') {
        weir_json_kv_cstr(j, "id", image);
    } else {
        struct weir_sv rest = weir_sv_of(image);
        for (size_t i = 0; i < WEIR_ARRAY_LEN(part); i++) {
            weir_json_key(j, part[i]);
            weir_json_string(j, weir_sv_cut(&rest, ':'));
        }
    }
    weir_json_end(j);
}

static void put_id(struct weir_json *j, const char *key, const char *id)
{
    weir_json_key(j, key);
    weir_json_object(j);
    weir_json_kv_cstr(j, "id", id);
    weir_json_end(j);
}

static void put_storage(struct weir_json *j, const struct azure *c)
{
    weir_json_key(j, "storageProfile");
    weir_json_object(j);
    put_image(j, c->image);
    weir_json_key(j, "osDisk");
    weir_json_object(j);
    weir_json_kv_cstr(j, "createOption", "FromImage");
    weir_json_kv_cstr(j, "deleteOption", "Delete");
    weir_json_kv_u64(j, "diskSizeGB", c->disk_gib);
    weir_json_key(j, "managedDisk");
    weir_json_object(j);
    weir_json_kv_cstr(j, "storageAccountType", "Premium_LRS");
    weir_json_end(j);
    weir_json_end(j);
    weir_json_end(j);
}

static void put_public_ip(struct weir_json *j)
{
    weir_json_key(j, "publicIPAddressConfiguration");
    weir_json_object(j);
    weir_json_kv_cstr(j, "name", "ip");
    weir_json_key(j, "sku");
    weir_json_object(j);
    weir_json_kv_cstr(j, "name", "Standard");
    weir_json_end(j);
    weir_json_key(j, "properties");
    weir_json_object(j);
    weir_json_kv_cstr(j, "deleteOption", "Delete");
    weir_json_kv_cstr(j, "publicIPAllocationMethod", "Static");
    weir_json_end(j);
    weir_json_end(j);
}

/* Interface and address are made, and removed, with the machine: nothing is left behind. */
static void put_network(struct weir_json *j, const struct azure *c, const struct azure_network *r)
{
    weir_json_key(j, "networkProfile");
    weir_json_object(j);
    weir_json_kv_cstr(j, "networkApiVersion", "2022-11-01");
    weir_json_key(j, "networkInterfaceConfigurations");
    weir_json_array(j);
    weir_json_object(j);
    weir_json_kv_cstr(j, "name", "nic");
    weir_json_key(j, "properties");
    weir_json_object(j);
    weir_json_kv_bool(j, "primary", true);
    weir_json_kv_cstr(j, "deleteOption", "Delete");
    if (r->security_group[0] != '\0') {
        put_id(j, "networkSecurityGroup", r->security_group);
    }
    weir_json_key(j, "ipConfigurations");
    weir_json_array(j);
    weir_json_object(j);
    weir_json_kv_cstr(j, "name", "ip");
    weir_json_key(j, "properties");
    weir_json_object(j);
    put_id(j, "subnet", r->subnet);
    if (c->public_ip) {
        put_public_ip(j);
    }
    weir_json_end(j);
    weir_json_end(j);
    weir_json_end(j);
    weir_json_end(j);
    weir_json_end(j);
    weir_json_end(j);
    weir_json_end(j);
}

static void put_system(struct weir_json *j, const struct azure *c, const char *name, const struct weir_str *script)
{
    struct weir_str data = WEIR_STR_INIT(BODY_BYTES_MAX);
    char path[96];
    weir_base64(&data, weir_str_sv(script));
    (void)snprintf(path, sizeof path, "/home/%s/.ssh/authorized_keys", c->user);
    weir_json_key(j, "osProfile");
    weir_json_object(j);
    weir_json_kv_cstr(j, "computerName", name);
    weir_json_kv_cstr(j, "adminUsername", c->user);
    weir_json_kv_cstr(j, "customData", weir_str_cstr(&data));
    weir_json_key(j, "linuxConfiguration");
    weir_json_object(j);
    weir_json_kv_bool(j, "disablePasswordAuthentication", true);
    weir_json_key(j, "ssh");
    weir_json_object(j);
    weir_json_key(j, "publicKeys");
    weir_json_array(j);
    weir_json_object(j);
    weir_json_kv_cstr(j, "path", path);
    weir_json_kv_cstr(j, "keyData", c->ssh_key);
    weir_json_end(j);
    weir_json_end(j);
    weir_json_end(j);
    weir_json_end(j);
    weir_json_end(j);
    weir_str_release(&data);
}

static void put_market(struct weir_json *j, const struct weir_offer *o)
{
    if (o->market != WEIR_OFFER_SPOT) {
        return;
    }
    weir_json_kv_cstr(j, "priority", "Spot");
    weir_json_kv_cstr(j, "evictionPolicy", "Delete"); /* deallocated machines keep their disk and their quota */
    weir_json_key(j, "billingProfile");
    weir_json_object(j);
    weir_json_kv_i64(j, "maxPrice", -1); /* pay the spot price, at most that on demand: never evicted for the price */
    weir_json_end(j);
}

static int boot_script(const struct weir_provider *p, const struct weir_launch *l, const char *name, struct weir_str *ret, struct weir_err *err)
{
    const struct azure *c = p->own;
    WEIR_CLEANUP(weir_str_release) struct weir_str end = WEIR_STR_INIT(8192);
    if (c->identity[0] != '\0') {
        end_command(p, name, &end);
    }
    struct weir_boot boot = {.launch = l,
                             .env = p->env,
                             .pool = "azure",
                             .agent = c->agent[0] == '\0' ? NULL : c->agent,
                             .end = end.n == 0 ? NULL : weir_str_cstr(&end),
                             .before = c->before,
                             .notice = "azure",
                             .gpus = c->gpus[0] == '\0' ? NULL : c->gpus,
                             .bytes_max = CUSTOM_DATA_BYTES_MAX};
    return weir_boot_script(&boot, ret, err);
}

int azure_machine_body(const struct weir_provider *p, const struct weir_launch *l, const char *name, struct weir_str *ret, struct weir_err *err)
{
    const struct azure *c = p->own;
    const struct azure_network *network = find_network(c, l->offer->region);
    if (network == NULL) {
        return weir_fail(err, -WEIR_EINVAL, "no subnet is configured for the region %s", l->offer->region);
    }
    WEIR_CLEANUP(weir_str_release) struct weir_str script = {0};
    int r = boot_script(p, l, name, &script, err);
    if (r < 0) {
        return r;
    }
    weir_str_release(ret);
    *ret = WEIR_STR_INIT(BODY_BYTES_MAX);
    struct weir_json j = weir_json_begin(ret);
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "location", network->region);
    if (l->offer->zone[0] != '\0') {
        weir_json_key(&j, "zones");
        weir_json_array(&j);
        weir_json_cstr(&j, l->offer->zone);
        weir_json_end(&j);
    }
    put_tags(&j, l);
    if (c->identity[0] != '\0') {
        weir_json_key(&j, "identity");
        weir_json_object(&j);
        weir_json_kv_cstr(&j, "type", "UserAssigned");
        weir_json_key(&j, "userAssignedIdentities");
        weir_json_object(&j);
        weir_json_key(&j, c->identity);
        weir_json_object(&j);
        weir_json_end(&j);
        weir_json_end(&j);
        weir_json_end(&j);
    }
    weir_json_key(&j, "properties");
    weir_json_object(&j);
    weir_json_key(&j, "hardwareProfile");
    weir_json_object(&j);
    weir_json_kv_cstr(&j, "vmSize", l->offer->instance_type);
    weir_json_end(&j);
    put_market(&j, l->offer);
    if (l->reservation != NULL) {
        weir_json_key(&j, "capacityReservation");
        weir_json_object(&j);
        put_id(&j, "capacityReservationGroup", l->reservation);
        weir_json_end(&j);
    }
    put_storage(&j, c);
    put_system(&j, c, name, &script);
    put_network(&j, c, network);
    weir_json_end(&j);
    weir_json_end(&j);
    return ret->overflowed ? weir_fail(err, -WEIR_ELIMIT, "the request that makes the machine is too long") : 0;
}

/* ---- reading one ---- */

/* "ProvisioningState/failed/AllocationFailed" among the statuses says why; without the view it is "Failed". */
static void read_failure(const json_t *properties, char failure[static WEIR_CLOUD_CODE_SIZE])
{
    static const char prefix[] = "ProvisioningState/failed/";
    const json_t *statuses = json_object_get(json_object_get(properties, "instanceView"), "statuses");
    (void)snprintf(failure, WEIR_CLOUD_CODE_SIZE, "Failed");
    for (size_t i = 0; i < json_array_size(statuses); i++) {
        const char *code = weir_rest_text(json_array_get(statuses, i), "code");
        if (strncmp(code, prefix, sizeof prefix - 1) == 0) {
            (void)snprintf(failure, WEIR_CLOUD_CODE_SIZE, "%.63s", code + sizeof prefix - 1);
        }
    }
}

bool azure_machine_read(const json_t *o, struct weir_rest_machine *ret, char failure[static WEIR_CLOUD_CODE_SIZE])
{
    const json_t *properties = json_object_get(o, "properties");
    const char *state = weir_rest_text(properties, "provisioningState");
    const char *name = weir_rest_text(o, "name");
    *ret = (struct weir_rest_machine){.state = WEIR_INSTANCE_RUNNING, .launched = weir_rest_time(properties, "timeCreated")};
    failure[0] = '\0';
    if (properties == NULL || name[0] == '\0' || strlen(name) >= sizeof ret->id) {
        return false;
    }
    memcpy(ret->id, name, strlen(name) + 1);
    if (strlen(name) < sizeof ret->name) { /* a longer one is not ours */
        memcpy(ret->name, name, strlen(name) + 1);
    }
    if (weir_streq(state, "Creating")) {
        ret->state = WEIR_INSTANCE_PENDING;
    } else if (weir_streq(state, "Deleting")) {
        ret->state = WEIR_INSTANCE_STOPPING;
    } else if (weir_streq(state, "Failed") || weir_streq(state, "Canceled")) {
        ret->state = WEIR_INSTANCE_STOPPING;
        ret->dead = true;
        read_failure(properties, failure);
    }
    return true;
}
