/* SPDX-License-Identifier: Apache-2.0 */
/* The WireGuard link: its configuration, the keys and addresses of leases, and a gateway whose `wg` is a script that keeps peers in files. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "broker/config.h"
#include "broker/link_gateway.h"
#include "broker/link_route.h"
#include "net/gnutls_lib.h"
#include "net/x25519.h"

/* ---- configuration ---- */

#define LEAST "endpoint: gw.example.org:51820, url: \"https://10.77.0.1:7070\", network: 10.77.0.0/16"

static struct weir_config *config_of(const char *keys, struct weir_err *err)
{
    char text[1024];
    struct weir_config *c = NULL;
    (void)snprintf(text, sizeof text, "wireguard: {%s}\n", keys);
    return weir_config_parse(&c, weir_sv_of(text), "test.yaml", err) == 0 ? c : NULL;
}

static void the_least_that_is_said_is_enough(void **state)
{
    (void)state;
    struct weir_err err = {""};
    char text[WEIR_NET_SIZE];
    char host[64];
    struct weir_config *c = config_of(LEAST, &err);
    if (c == NULL) {
        fail_msg("%s", err.text);
    }
    const struct weir_config_link *k = &c->link;
    assert_true(k->is_set);
    assert_string_equal(k->interface, "wg0");
    assert_string_equal(k->command[0], "wg");
    assert_int_equal(k->n_command, 1);
    assert_int_equal(k->keepalive.us, 25 * WEIR_US_PER_S);
    assert_int_equal(k->n_routes, 1);
    assert_string_equal(weir_net_format(&k->route[0], text), "10.77.0.1/32");
    weir_config_link_host(k, host, sizeof host);
    assert_string_equal(host, "10.77.0.1");
    weir_config_free(c);
    c = config_of("", &err);
    assert_null(c);
}

static void routes_that_have_the_broker_need_no_other(void **state)
{
    (void)state;
    struct weir_err err = {""};
    char text[WEIR_NET_SIZE];
    struct weir_config *c = config_of(LEAST ", routes: [10.0.0.0/8, \"fd12::/16\"], interface: weir-1, mtu: 1380, keepalive: 10s, direct: [runpod], "
                                                "dns: [10.20.0.53], domains: [site.example.org]", &err);
    if (c == NULL) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(c->link.n_routes, 2);
    assert_string_equal(weir_net_format(&c->link.route[0], text), "10.0.0.0/8");
    assert_string_equal(weir_net_format(&c->link.route[1], text), "fd12::/16");
    assert_int_equal(c->link.mtu, 1380);
    assert_string_equal(c->link.direct[0], "runpod");
    assert_string_equal(c->link.dns[0], "10.20.0.53");
    assert_string_equal(c->link.domain[0], "site.example.org");
    weir_config_free(c);
}

static void what_cannot_be_is_refused_with_the_reason(void **state)
{
    (void)state;
    static const struct {
        const char *keys;
        const char *says;
    } rows[] = {
        {"endpoint: \"gw:1\"", "url is missing"},
        {"url: \"https://10.77.0.1:7070\", network: 10.77.0.0/16", "endpoint is missing"},
        {"endpoint: \"gw:1\", url: \"https://10.77.0.1:7070\"", "network is missing"},
        {LEAST ", interfaces: wg0", "unknown key 'interfaces'; did you mean 'interface'?"},
        {LEAST ", interface: \"wg0; reboot\"", "interface: the name"},
        {LEAST ", interface: \"\"", "interface: the name"},
        {LEAST ", interface: \"-h\"", "interface: the name"},
        {LEAST ", interface: a-name-of-16-chr", "too long"},
        {LEAST ", mtu: 576", "mtu: 1280"},
        {LEAST ", keepalive: 100ms", "keepalive: 1s"},
        {LEAST ", keepalive: 2d", "keepalive: 1s"},
        {LEAST ", public_key: abc", "public_key: what"},
        {LEAST ", command: []", "command: a list"},
        {LEAST ", command: wg", "command: a list"},
        {LEAST ", command: [\"\"]", "command: a word"},
        {LEAST ", direct: runpod", "direct: a list"},
        {LEAST ", routes: [0.0.0.0/0]", "would not reach its provider"},
        {LEAST ", routes: [\"::/0\"]", "would not reach its provider"},
        {LEAST ", routes: [169.254.0.0/16]", "would not reach its provider"},
        {LEAST ", routes: [10.0.0.1/8]", "ends in zeros"},
        {LEAST ", routes: [10.0.0.0]", "a network is wanted"},
        {LEAST ", routes: [10.0.0.0/33]", "a network is wanted"},
        {LEAST ", routes: [site]", "a network is wanted"},
        {LEAST ", dns: 10.20.0.53", "dns: a list"},
        {LEAST ", dns: [ns1]", "dns: an address"},
        {LEAST ", dns: [{}]", "dns: an address"},
        {LEAST ", domains: [site.example.org]", "domains needs dns"},
        {LEAST ", dns: [10.20.0.53], domains: [\"$(reboot)\"]", "domains: a domain"},
        {LEAST ", dns: [10.20.0.53], domains: [\"\"]", "domains: a domain"},
        {"endpoint: \"10.77.0.1:51820\", url: \"https://10.77.0.1:7070\", network: 10.77.0.0/16", "endpoint lies in routes"},
        {"endpoint: gw, url: \"https://10.77.0.1:7070\", network: 10.77.0.0/16", "endpoint: where"},
        {"endpoint: \"gw:0\", url: \"https://10.77.0.1:7070\", network: 10.77.0.0/16", "endpoint: where"},
        {"endpoint: \"g w:1\", url: \"https://10.77.0.1:7070\", network: 10.77.0.0/16", "endpoint: where"},
        {"endpoint: \"2001:db8::1:51820\", url: \"https://10.77.0.1:7070\", network: 10.77.0.0/16", "endpoint: where"},
        {"endpoint: \"gw:1\", url: \"10.77.0.1:7070\", network: 10.77.0.0/16", "url: the broker's"},
        {"endpoint: \"gw:1\", url: \"https://127.0.0.1:7070\", network: 10.77.0.0/16", "url: no other machine"},
        {"endpoint: \"gw:1\", url: \"https://x'; reboot\", network: 10.77.0.0/16", "url: the broker's"},
        {"endpoint: \"gw:1\", url: \"https://weir.site\", network: 10.77.0.0/16", "url has a name"},
        {"endpoint: \"gw:1\", url: \"https://10.77.0.1:7070\", network: 10.77.0.0/30", "network: a prefix"},
        {"endpoint: \"gw:1\", url: \"https://10.77.0.1:7070\", network: \"fd00::/96\"", "network: a prefix"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        struct weir_err err = {""};
        struct weir_config *c = config_of(rows[i].keys, &err);
        if (c != NULL || strstr(err.text, rows[i].says) == NULL || strstr(err.text, "test.yaml:1:") == NULL) {
            fail_msg("%s: %s", rows[i].keys, c != NULL ? "was taken" : err.text);
        }
    }
}

/* ---- keys and addresses ---- */

static void unhex(const char *hex, unsigned char ret[static WEIR_X25519_BYTES])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < WEIR_X25519_BYTES; i++) {
        ret[i] = (unsigned char)((strchr(digits, hex[2 * i]) - digits) << 4 | (strchr(digits, hex[2 * i + 1]) - digits));
    }
}

/* RFC 7748, section 6.1. */
static void public_keys_are_those_of_the_standard(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a", "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"},
        {"5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb", "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        unsigned char own[WEIR_X25519_BYTES];
        unsigned char wanted[WEIR_X25519_BYTES];
        unsigned char public[WEIR_X25519_BYTES];
        unhex(rows[i][0], own);
        unhex(rows[i][1], wanted);
        weir_x25519_public(own, public);
        assert_memory_equal(public, wanted, sizeof wanted);
        weir_x25519_clamp(own);
        assert_int_equal(own[0] & 7, 0);
        assert_int_equal(own[31] & 0xc0, 0x40);
        weir_x25519_public(own, public); /* the same key: what was changed does not count */
        assert_memory_equal(public, wanted, sizeof wanted);
    }
}

static const struct weir_sv secret = {"0123456789abcdef0123456789abcdef0123456789abcdef", 48};

static void keys_follow_from_the_lease(void **state)
{
    (void)state;
    struct weir_config_link conf = {.network = {.address = {10, 77}, .prefix = 16}};
    struct link_keys a;
    struct link_keys again;
    struct link_keys other;
    struct link_keys elsewhere;
    link_keys_of(&conf, secret, (struct weir_lease_id){7}, &a);
    link_keys_of(&conf, secret, (struct weir_lease_id){7}, &again);
    link_keys_of(&conf, secret, (struct weir_lease_id){8}, &other);
    link_keys_of(&conf, WEIR_SV("another"), (struct weir_lease_id){7}, &elsewhere);
    assert_memory_equal(&a, &again, sizeof a);
    assert_int_equal(strlen(a.private_key), 44);
    assert_int_equal(strlen(a.public_key), 44);
    assert_int_equal(strlen(a.preshared_key), 44);
    assert_string_equal(a.address, "10.77.0.9/32");
    assert_string_not_equal(a.private_key, other.private_key);
    assert_string_not_equal(a.preshared_key, other.preshared_key);
    assert_string_not_equal(a.private_key, elsewhere.private_key);
    assert_string_not_equal(a.private_key, a.preshared_key);
}

static void addresses_stay_inside_the_network(void **state)
{
    (void)state;
    static const struct {
        struct weir_net net;
        uint64_t lease;
        const char *address;
    } rows[] = {
        {{.address = {10, 77}, .prefix = 16}, 1, "10.77.0.3/32"},
        {{.address = {10, 77}, .prefix = 16}, 65532, "10.77.255.254/32"}, /* the last but the broadcast address */
        {{.address = {10, 77}, .prefix = 16}, 65533, "10.77.0.2/32"},
        {{.address = {10, 77}, .prefix = 16}, UINT64_MAX, "10.77.0.82/32"},
        {{.address = {192, 168, 7, 16}, .prefix = 28}, 12, "192.168.7.30/32"},
        {{.address = {192, 168, 7, 16}, .prefix = 28}, 13, "192.168.7.18/32"},
        {{.address = {10}, .prefix = 8}, 300, "10.0.1.46/32"},
        {{.is_v6 = true, .address = {0xfd, 0x12}, .prefix = 64}, 1, "fd12::101/128"},
        {{.is_v6 = true, .address = {0xfd, 0x12}, .prefix = 48}, UINT64_C(1) << 40, "fd12::100:0:100/128"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        char text[LINK_ADDRESS_SIZE];
        link_address_of(&rows[i].net, (struct weir_lease_id){rows[i].lease}, text);
        assert_string_equal(text, rows[i].address);
    }
}

/* Loopback addresses lead to the loopback interface on every host. */
static void the_kernel_tells_its_routes(void **state)
{
    (void)state;
    char name[LINK_ROUTE_NAME_SIZE];
    struct weir_err err = {""};
    const struct weir_net here = {.address = {127, 0, 0, 1}, .prefix = 32};
    const struct weir_net nowhere = {.is_v6 = true, .address = {0x20, 0x01, 0x0d, 0xb8}, .prefix = 128};
    assert_int_equal(link_route_of(&here, name, &err), 0);
    assert_string_equal(name, "lo");
    assert_int_equal(link_route_of(&nowhere, name, &err), 0);
    assert_string_not_equal(name, "lo");
}

/* ---- the gateway ---- */

static char root[] = "/tmp/weir-link-XXXXXX";

/* Peers are lines of key, preshared key and addresses. What "mode" says is done first. */
static const char program[] = "#!/bin/sh\n"
                              "D=$(dirname \"$0\")\n"
                              "echo \"$*\" >> $D/calls\n"
                              ". $D/mode\n"
                              "case \"$1 $3\" in\n"
                              "'show public-key') echo AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= ;;\n"
                              "'show preshared-keys') cut -f1,2 $D/peers ;;\n"
                              "'show allowed-ips') cut -f1,3 $D/peers ;;\n"
                              "'set peer')\n"
                              "  grep -v \"^$4\" $D/peers > $D/new\n"
                              "  [ \"$5\" = remove ] || printf '%s\\t%s\\t%s\\n' \"$4\" \"$(cat $6)\" \"$8\" >> $D/new\n"
                              "  mv $D/new $D/peers ;;\n"
                              "*) echo 'usage' >&2; exit 1 ;;\n"
                              "esac\n";

#define FOREIGN "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB="

static void put(const char *name, const char *text)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", root, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, 0700), 0);
}

static char *take(const char *name)
{
    char path[128];
    char *text = NULL;
    size_t n;
    (void)snprintf(path, sizeof path, "%s/%s", root, name);
    assert_int_equal(weir_file_read(path, 1 << 20, &text, &n, NULL), 0);
    return text;
}

static struct weir_config_link conf = {.interface = "wg0", .network = {.address = {10, 77}, .prefix = 16}, .n_command = 1};
static atomic_bool stop;

static struct gateway gateway_of(const uint64_t *lease, size_t n)
{
    struct gateway g = {.conf = &conf, .clock = &weir_clock_os, .secret = secret, .stop = &stop};
    for (size_t i = 0; i < n; i++) {
        weir_vec_push(&g.peers, ((struct link_peer){.lease = {lease[i]}}));
    }
    return g;
}

static int begin(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(root));
    put("wg", program);
    (void)snprintf(conf.command[0], sizeof conf.command[0], "%s/wg", root);
    return weir_gnutls_init(NULL) + weir_x25519_init(NULL);
}

static int end(void **state)
{
    static const char *const names[] = {"wg", "calls", "mode", "peers", "new"};
    (void)state;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(names); i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s/%s", root, names[i]);
        (void)unlink(path);
    }
    return rmdir(root);
}

static int anew(void **state)
{
    (void)state;
    put("mode", "");
    put("calls", "");
    put("peers", FOREIGN "\t(none)\t10.99.0.0/24 10.77.0.5/32\n");
    atomic_store(&stop, false);
    return 0;
}

static void peers_are_made_equal_to_leases(void **state)
{
    (void)state;
    struct link_keys keys;
    struct gateway g = gateway_of((uint64_t[]){1, 2}, 2);
    assert_int_equal(gateway_settle(&g), 0);
    assert_int_equal(g.added, 2);
    assert_true(g.peers.p[0].is_there && g.peers.p[1].is_there);
    assert_string_equal(g.public_key, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    link_keys_of(&conf, secret, (struct weir_lease_id){1}, &keys);
    WEIR_CLEANUP(weir_freep) char *text = take("peers");
    assert_non_null(strstr(text, keys.public_key));
    assert_non_null(strstr(text, keys.preshared_key));
    assert_non_null(strstr(text, "\t10.77.0.3/32\n"));
    weir_vec_release(&g.peers);
    /* nothing is to be done again; then one goes and one comes */
    g = gateway_of((uint64_t[]){1, 2}, 2);
    assert_int_equal(gateway_settle(&g), 0);
    assert_int_equal(g.added + g.removed, 0);
    assert_true(g.peers.p[0].is_there && g.peers.p[1].is_there);
    weir_vec_release(&g.peers);
    g = gateway_of((uint64_t[]){2, 9}, 2);
    assert_int_equal(gateway_settle(&g), 0);
    assert_int_equal(g.added, 1);
    assert_int_equal(g.removed, 1);
    WEIR_CLEANUP(weir_freep) char *after = take("peers");
    assert_null(strstr(after, keys.public_key));
    assert_non_null(strstr(after, FOREIGN "\t(none)\t10.99.0.0/24 10.77.0.5/32\n"));
    weir_vec_release(&g.peers);
    /* no secret is on a command line */
    WEIR_CLEANUP(weir_freep) char *calls = take("calls");
    assert_null(strstr(calls, keys.preshared_key));
    assert_null(strstr(calls, keys.private_key));
    assert_null(strstr(calls, FOREIGN));
}

static void an_address_of_another_is_left_alone(void **state)
{
    (void)state;
    struct gateway g = gateway_of((uint64_t[]){3, 4, 4 + 65533}, 3); /* 10.77.0.5 is the foreign peer's; the last two share one */
    assert_int_equal(gateway_settle(&g), 0);
    assert_true(g.peers.p[0].is_taken && !g.peers.p[0].is_there);
    assert_true(g.peers.p[1].is_there && !g.peers.p[1].is_taken);
    assert_true(g.peers.p[2].is_taken && !g.peers.p[2].is_there);
    WEIR_CLEANUP(weir_freep) char *text = take("peers");
    assert_non_null(strstr(text, FOREIGN "\t(none)\t10.99.0.0/24 10.77.0.5/32\n"));
    weir_vec_release(&g.peers);
}

/* An address that somebody took away from a peer of ours comes back to it. */
static void a_peer_without_its_address_gets_it_again(void **state)
{
    (void)state;
    struct link_keys keys;
    char line[256];
    link_keys_of(&conf, secret, (struct weir_lease_id){1}, &keys);
    (void)snprintf(line, sizeof line, "%s\t%s\t(none)\n", keys.public_key, keys.preshared_key);
    put("peers", line);
    struct gateway g = gateway_of((uint64_t[]){1}, 1);
    assert_int_equal(gateway_settle(&g), 0);
    assert_int_equal(g.added, 1);
    WEIR_CLEANUP(weir_freep) char *text = take("peers");
    assert_non_null(strstr(text, "\t10.77.0.3/32\n"));
    weir_vec_release(&g.peers);
}

static void what_is_the_matter_is_said_with_a_remedy(void **state)
{
    (void)state;
    static const struct {
        const char *mode;
        const char *says;
        const char *remedy;
    } rows[] = {
        {"echo 'Unable to access interface: No such device' >&2; exit 1", "wg show wg0 public-key: Unable to access interface: No such device", "wg-quick@wg0"},
        {"echo 'Unable to access interface: Operation not permitted' >&2; exit 1", "Operation not permitted", "CAP_NET_ADMIN"},
        {"[ $1 != set ] || { echo 'Unable to modify interface: Operation not permitted' >&2; exit 1; }", "set wg0 peer", "CAP_NET_ADMIN"},
        {"exit 3", "it failed and said nothing", "wireguard.md"},
        {"echo '(none)'; exit 0", "no private key yet", "public_key"},
        {"[ $3 != preshared-keys ] || { echo hello; exit 0; }", "does not answer as wg does", "command"},
        {"[ $1 != show ] || [ $3 = public-key ] || { yes | head -c 20000000; exit 0; }", "printed too much", "command"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        put("mode", rows[i].mode);
        struct gateway g = gateway_of((uint64_t[]){1}, 1);
        assert_true(gateway_settle(&g) < 0);
        if (strstr(g.err.text, rows[i].says) == NULL || strstr(g.remedy, rows[i].remedy) == NULL) {
            fail_msg("%s: %s -> %s", rows[i].mode, g.err.text, g.remedy);
        }
        assert_false(g.peers.p[0].is_there);
        weir_vec_release(&g.peers);
    }
    struct weir_config_link none = conf;
    (void)snprintf(none.command[0], sizeof none.command[0], "%s/is-not-there", root);
    struct gateway g = gateway_of(NULL, 0);
    g.conf = &none;
    assert_true(gateway_settle(&g) < 0);
    assert_non_null(strstr(g.remedy, "apt-get install wireguard-tools"));
}

/* One that never answers holds nobody up who wants to stop; neither does what it has left behind. */
static void a_program_that_hangs_is_ended(void **state)
{
    (void)state;
    int64_t from = weir_clock_mono(&weir_clock_os).us;
    put("mode", "sleep 600");
    atomic_store(&stop, true);
    struct gateway g = gateway_of(NULL, 0);
    assert_true(gateway_settle(&g) < 0);
    assert_non_null(strstr(g.err.text, "no answer"));
    atomic_store(&stop, false);
    put("mode", "sleep 15 &");
    assert_int_equal(gateway_settle(&g), 0);
    assert_true(weir_clock_mono(&weir_clock_os).us - from < 14 * WEIR_US_PER_S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_least_that_is_said_is_enough),
        cmocka_unit_test(routes_that_have_the_broker_need_no_other),
        cmocka_unit_test(what_cannot_be_is_refused_with_the_reason),
        cmocka_unit_test(public_keys_are_those_of_the_standard),
        cmocka_unit_test(keys_follow_from_the_lease),
        cmocka_unit_test(addresses_stay_inside_the_network),
        cmocka_unit_test(the_kernel_tells_its_routes),
        cmocka_unit_test_setup(peers_are_made_equal_to_leases, anew),
        cmocka_unit_test_setup(an_address_of_another_is_left_alone, anew),
        cmocka_unit_test_setup(a_peer_without_its_address_gets_it_again, anew),
        cmocka_unit_test_setup(what_is_the_matter_is_said_with_a_remedy, anew),
        cmocka_unit_test_setup(a_program_that_hangs_is_ended, anew),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
