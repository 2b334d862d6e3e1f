/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "cloud/azure/azure_priv.h"
#include "cloud/section.h"

static const char where[] = "azure";
const char *const azure_keys[] = {
    "endpoint",       "regions",         "poll",              "prices_every", "max_gpus",           "calls_per_second",     "subscription",
    "resource_group", "tenant",          "client_id",         "networks",     "client_secret_file", "federated_token_file", "image",
    "ssh_key",        "user",            "identity",          "spot",         "public_ip",          "disk_gib",             "agent",
    "login_endpoint", "prices_endpoint", "metadata_endpoint", "before",       "declare_gpus",       "currency",
    NULL,
};
static const char *const known_network[] = {"subnet", "security_group", NULL};

enum { KEY_BYTES_MAX = 8192, BEFORE_BYTES_MAX = 16384 };

/* A name or number that goes into a URL's path: nothing that would change what the path means. */
static bool is_word(const char *s)
{
    for (const char *c = s; *c != '\0'; c++) {
        if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || strchr("-_.()", *c) != NULL)) {
            return false;
        }
    }
    return s[0] != '\0' && s[0] != '.';
}

static bool is_resource(const char *id)
{
    return strncmp(id, "/subscriptions/", 15) == 0 && strpbrk(id, " \"'\\?#") == NULL;
}

static int read_word(const json_t *section, const char *key, const struct weir_provider_env *env, const char *variable, char *ret, size_t size,
                     bool wanted, struct weir_err *err)
{
    const char *v = variable == NULL ? NULL : weir_section_env(env, variable);
    if (v != NULL && strlen(v) < size) {
        memcpy(ret, v, strlen(v) + 1);
    }
    int r = weir_section_text(section, where, key, ret, size, err);
    if (r == 0 && ((wanted && ret[0] == '\0') || (ret[0] != '\0' && !is_word(ret)))) {
        char want[160];
        (void)snprintf(want, sizeof want, "must be given, as a plain name or number%s%s", variable == NULL ? "" : "; or set the variable ",
                       variable == NULL ? "" : variable);
        r = weir_section_bad(err, where, key, want);
    }
    return r;
}

static int read_resource(const json_t *section, const char *place, const char *key, char ret[static AZURE_ID_SIZE], bool wanted, struct weir_err *err)
{
    int r = weir_section_text(section, place, key, ret, AZURE_ID_SIZE, err);
    if (r == 0 && ((wanted && ret[0] == '\0') || (ret[0] != '\0' && !is_resource(ret)))) {
        r = weir_section_bad(err, place, key, "must be a resource's id, /subscriptions/...");
    }
    return r;
}

static int read_networks(struct azure *c, const json_t *section, struct weir_err *err)
{
    const json_t *networks = json_object_get(section, "networks");
    if (!json_is_object(networks) || json_object_size(networks) == 0 || json_object_size(networks) > AZURE_NETWORKS_MAX) {
        return weir_section_bad(err, where, "networks", "must name 1 to 32 regions with a subnet each: {eastus: {subnet: /subscriptions/...}}");
    }
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)networks, name, value)
    {
        struct azure_network *r = &c->network[c->n_networks++];
        char place[64];
        (void)snprintf(place, sizeof place, "azure.networks.%.40s", name);
        if (strlen(name) >= sizeof r->region || !is_word(name)) {
            return weir_section_bad(err, where, "networks", "a region's name is malformed; they are written as in eastus");
        }
        memcpy(r->region, name, strlen(name) + 1);
        int rc = weir_section_check(value, place, known_network, err);
        rc = rc < 0 ? rc : read_resource(value, place, "subnet", r->subnet, true, err);
        rc = rc < 0 ? rc : read_resource(value, place, "security_group", r->security_group, false, err);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* The key itself, or the name of the file that has it. */
static int read_ssh_key(struct azure *c, const struct weir_provider_env *env, const json_t *section, struct weir_err *err)
{
    char text[KEY_BYTES_MAX] = "";
    char path[AZURE_PATH_SIZE];
    int r = weir_section_text(section, where, "ssh_key", text, sizeof text, err);
    if (r < 0) {
        return r;
    }
    if (text[0] != '\0' && strncmp(text, "ssh-", 4) != 0) {
        char *read = NULL;
        size_t n = 0;
        r = weir_section_path(env, text, path, sizeof path) ? weir_file_read(path, KEY_BYTES_MAX, &read, &n, err) : -WEIR_ENOTFOUND;
        if (r < 0) {
            return weir_fail(err, -WEIR_ECONFIG, "azure.ssh_key: %.200s is neither a public key nor a file that can be read", text);
        }
        struct weir_sv key = weir_sv_trim((struct weir_sv){read, n});
        (void)snprintf(text, sizeof text, "%.*s", WEIR_SV_ARG(key));
        free(read);
    }
    if (strncmp(text, "ssh-", 4) != 0 || strpbrk(text, "\n\r") != NULL) {
        return weir_section_bad(err, where, "ssh_key", "must be a public key (ssh-ed25519 or ssh-rsa), or its file: Azure makes no machine without one");
    }
    c->ssh_key = weir_strdup(text);
    return 0;
}

static int read_credentials(struct azure *c, const struct weir_provider_env *env, const json_t *section, struct weir_err *err)
{
    static const char *const secret_env[] = {"AZURE_CLIENT_SECRET", NULL};
    const char *file = weir_section_env(env, "AZURE_FEDERATED_TOKEN_FILE");
    if (file != NULL && strlen(file) < sizeof c->federated) {
        memcpy(c->federated, file, strlen(file) + 1);
    }
    int r = weir_section_text(section, where, "federated_token_file", c->federated, sizeof c->federated, err);
    if (r == 0) {
        struct weir_err none;
        r = weir_section_secret(section, where, "client_secret", env, secret_env, NULL, &c->secret, &none);
        r = r == -WEIR_ENOTFOUND ? 0 : r < 0 ? weir_fail(err, r, "%s", none.text) : 0;
    }
    bool by_client = c->secret != NULL || c->federated[0] != '\0';
    r = r < 0 ? r : read_word(section, "tenant", env, "AZURE_TENANT_ID", c->tenant, sizeof c->tenant, by_client, err);
    return r < 0 ? r : read_word(section, "client_id", env, "AZURE_CLIENT_ID", c->client_id, sizeof c->client_id, by_client, err);
}

static int read_endpoints(struct azure *c, const struct weir_provider_env *env, const json_t *section, struct weir_err *err)
{
    const char *authority = weir_section_env(env, "AZURE_AUTHORITY_HOST");
    (void)snprintf(c->login_endpoint, sizeof c->login_endpoint, "%s", authority == NULL ? "https://login.microsoftonline.com" : authority);
    (void)snprintf(c->prices_endpoint, sizeof c->prices_endpoint, "https://prices.azure.com");
    (void)snprintf(c->metadata_endpoint, sizeof c->metadata_endpoint, "http://169.254.169.254");
    size_t n = strlen(c->login_endpoint);
    c->login_endpoint[n > 0 && c->login_endpoint[n - 1] == '/' ? n - 1 : n] = '\0';
    int r = weir_section_endpoint(section, where, "login_endpoint", c->login_endpoint, sizeof c->login_endpoint, err);
    r = r < 0 ? r : weir_section_endpoint(section, where, "prices_endpoint", c->prices_endpoint, sizeof c->prices_endpoint, err);
    if (r == 0 && json_object_get(section, "metadata_endpoint") != NULL) {
        r = weir_section_endpoint(section, where, "metadata_endpoint", c->metadata_endpoint, sizeof c->metadata_endpoint, err);
    }
    if (r == 0 && strncmp(c->login_endpoint, "https://", 8) != 0 && json_object_get(section, "login_endpoint") == NULL) {
        r = weir_fail(err, -WEIR_ECONFIG, "AZURE_AUTHORITY_HOST: must be an https:// address: the client's secret is sent there");
    }
    return r;
}

static int read_machine(struct azure *c, const struct weir_provider_env *env, const json_t *section, struct weir_err *err)
{
    char before[BEFORE_BYTES_MAX] = "";
    unsigned colons = 0;
    int r = weir_section_text(section, where, "image", c->image, sizeof c->image, err);
    for (const char *s = c->image; *s != '\0'; s++) {
        colons += *s == ':';
    }
    if (r == 0 && !is_resource(c->image) && !(colons == 3 && strpbrk(c->image, " /\"") == NULL)) {
        r = weir_section_bad(err, where, "image", "must be publisher:offer:sku:version, or the id of an image with the GPU's driver");
    }
    r = r < 0 ? r : read_ssh_key(c, env, section, err);
    r = r < 0 ? r : read_word(section, "user", env, NULL, c->user, sizeof c->user, true, err);
    r = r < 0 ? r : read_resource(section, where, "identity", c->identity, false, err);
    r = r < 0 ? r : weir_section_currency(section, where, c->currency, err);
    r = r < 0 ? r : weir_section_bool(section, where, "spot", &c->spot, err);
    r = r < 0 ? r : weir_section_bool(section, where, "public_ip", &c->public_ip, err);
    r = r < 0 ? r : weir_section_u32(section, where, "disk_gib", 30, 4095, &c->disk_gib, err);
    r = r < 0 ? r : weir_section_text(section, where, "agent", c->agent, sizeof c->agent, err);
    r = r < 0 ? r : weir_section_text(section, where, "declare_gpus", c->gpus, sizeof c->gpus, err);
    r = r < 0 ? r : weir_section_text(section, where, "before", before, sizeof before, err);
    c->before = before[0] == '\0' ? NULL : weir_strdup(before);
    return r;
}

int azure_conf_read(struct azure *ret, const struct weir_provider_env *env, const json_t *section, struct weir_err *err)
{
    struct azure *c = ret;
    *c = (struct azure){.user = "weir", .currency = "USD", .spot = true, .public_ip = true, .disk_gib = 128};
    int r = read_word(section, "subscription", env, "AZURE_SUBSCRIPTION_ID", c->subscription, sizeof c->subscription, true, err);
    r = r < 0 ? r : read_word(section, "resource_group", env, NULL, c->group, sizeof c->group, true, err);
    r = r < 0 ? r : read_endpoints(c, env, section, err);
    r = r < 0 ? r : read_credentials(c, env, section, err);
    r = r < 0 ? r : read_networks(c, section, err);
    r = r < 0 ? r : read_machine(c, env, section, err);
    if (r < 0) {
        azure_conf_release(c);
    }
    return r;
}

void azure_conf_release(struct azure *c)
{
    if (c->secret != NULL) {
        explicit_bzero(c->secret, strlen(c->secret));
    }
    free(c->secret);
    free(c->ssh_key);
    free(c->before);
    c->secret = c->ssh_key = c->before = NULL;
}
