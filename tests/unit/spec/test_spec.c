/* SPDX-License-Identifier: Apache-2.0 */
/* Job files in YAML and JSON: what is read, and the exact words of every refusal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/mem.h"
#include "base/parse.h"
#include "spec/spec.h"

struct row {
    const char *text;
    const char *want; /* canonical JSON, or the error */
};

static void check_yaml(struct weir_sv text, const char *want)
{
    struct weir_gpu_table *gpus = weir_gpu_table_new();
    struct weir_spec *s = NULL;
    struct weir_err err = {{0}};
    struct weir_str out = WEIR_STR_INIT(4 << 20);
    if (weir_spec_parse(text, "f", gpus, &s, &err) == 0) {
        weir_spec_to_json(s, gpus, &out);
        assert_string_equal(weir_str_cstr(&out), want);
    } else {
        assert_null(s);
        assert_string_equal(err.text, want);
    }
    weir_str_release(&out);
    weir_spec_free(s);
    weir_gpu_table_free(gpus);
}

static void check_rows(const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        check_yaml(weir_sv_of(rows[i].text), rows[i].want);
    }
}

#define TAIL "\"run\":\"x\",\"max_duration\":\"24h\",\"checkpoint\":{\"grace\":\"30s\"}}"
#define CPU "\"resources\":{\"cpus\":\"1\"},"

static void yaml_values_are_read_in_their_forms(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"run: x", "{\"name\":\"f\"," CPU TAIL},
        {"{\"run\": \"x\", \"name\": \"j\"}", "{\"name\":\"j\"," CPU TAIL},
        {"run: x\nname: 'a b'\nproject: p/q", "{\"name\":\"a b\",\"project\":\"p/q\"," CPU TAIL},
        {"run: x\nresources: {accelerators: A100}",
         "{\"name\":\"f\",\"resources\":{\"accelerators\":\"A100:1\"}," TAIL},
        {"run: x\nresources: {accelerators: 2}",
         "{\"name\":\"f\",\"resources\":{\"accelerators\":\"2\"}," TAIL},
        {"run: x\nresources: {accelerators: none, cpus: 0.5}",
         "{\"name\":\"f\",\"resources\":{\"cpus\":\"0.500\"}," TAIL},
        {"run: x\nresources: {accelerators: {nvidia h100 80gb hbm3: 8}}",
         "{\"name\":\"f\",\"resources\":{\"accelerators\":\"H100:8\"}," TAIL},
        {"run: x\nresources: {accelerators: [H100:8, A100:8]}",
         "{\"name\":\"f\",\"resources\":{\"accelerators\":[\"H100:8\",\"A100:8\"]}," TAIL},
        {"run: x\nresources: {accelerators: {L4:1, T4:2}}",
         "{\"name\":\"f\",\"resources\":{\"accelerators\":\"L4:1,T4:2\"}," TAIL},
        {"run: x\nresources: {accelerators: 24GB+:2}",
         "{\"name\":\"f\",\"resources\":{\"accelerators\":\"2\",\"gpu_memory\":\"24GiB\"}," TAIL},
        {"run: x\nresources: {memory: 512M, use_spot: yes}",
         "{\"name\":\"f\",\"resources\":{\"cpus\":\"1\",\"memory\":\"512MiB\",\"use_spot\":true}"
         "," TAIL},
        {"run: x\nenvs: {A: 1, B: true, C: \"\"}",
         "{\"name\":\"f\"," CPU "\"envs\":{\"A\":\"1\",\"B\":\"true\",\"C\":\"\"}," TAIL},
        {"run: x\ndelay_cost: $2.50",
         "{\"name\":\"f\"," CPU "\"run\":\"x\",\"delay_cost\":\"2.500000\",\"currency\":\"USD\",\"max_duration\":"
         "\"24h\",\"checkpoint\":{\"grace\":\"30s\"}}"},
        {"run: x\nmax_cost: 4 eur\ncurrency: EUR",
         "{\"name\":\"f\"," CPU "\"run\":\"x\",\"max_cost\":\"4.000000\",\"currency\":\"EUR\",\"max_duration\":"
         "\"24h\",\"checkpoint\":{\"grace\":\"30s\"}}"},
        {"run: x\ndelay_cost: 0",
         "{\"name\":\"f\"," CPU "\"run\":\"x\",\"delay_cost\":\"0.000000\",\"max_duration\":"
         "\"24h\",\"checkpoint\":{\"grace\":\"30s\"}}"},
        {"run: x\nplacement: {local: never, clouds: aws, regions: [eu-*, us-*]}",
         "{\"name\":\"f\"," CPU
         "\"run\":\"x\",\"placement\":{\"local\":\"never\",\"clouds\":[\"aws\"],\"regions\":[\"eu-*"
         "\",\"us-*\"]},\"max_duration\":\"24h\",\"checkpoint\":{\"grace\":\"30s\"}}"},
        {"run: x\nplacement: {same_zone: yes}",
         "{\"name\":\"f\"," CPU "\"run\":\"x\",\"placement\":{\"same_zone\":true},\"max_duration\":\"24h\",\"checkpoint\":{\"grace\":\"30s\"}}"},
        {"run: x\nplacement: {same_zone: false}", "{\"name\":\"f\"," CPU TAIL},
        {"{\"run\": \"x\", \"name\": \"\\ud83d\\ude00\"}",
         "{\"name\":\"\xf0\x9f\x98\x80\"," CPU TAIL},
        {"run: x\r\nname: crlf\r\n", "{\"name\":\"crlf\"," CPU TAIL},
        {"\xef\xbb\xbfrun: x\n", "{\"name\":\"f\"," CPU TAIL},
        {"run: x\ntags: &a {k: v}\nenvs: *a\n",
         "{\"name\":\"f\",\"tags\":{\"k\":\"v\"}," CPU "\"envs\":{\"k\":\"v\"}," TAIL},
    };
    check_rows(rows, WEIR_ARRAY_LEN(rows));
}

static void bad_yaml_is_refused_with_its_place(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"", "f: the file is empty; a job needs at least run: COMMAND"},
        {"# nothing\n", "f: the file is empty; a job needs at least run: COMMAND"},
        {"hello", "f:1:1: neither a script, which begins with a line such as #!/bin/sh, nor a job file, which is YAML with command: or run:"},
        {"# train\n\npython3 train.py --lr: 3\nmodule load x: {", "f:3:1: neither a script, which begins with a line such as #!/bin/sh, nor a job file, which is YAML with command: or run:"},
        {"export A=1\nrun: x\n", "f:1:1: neither a script, which begins with a line such as #!/bin/sh, nor a job file, which is YAML with command: or run:"},
        {"'hello'", "f:1:1: the job: must be a mapping, not a single value"},
        {"- run: x", "f:1:1: the job: must be a mapping, not a list"},
        {"run: [", "f:2:1: did not find expected node content while parsing a flow node"},
        {"run: x\nrun: y", "f:2:1: key 'run' is given twice"},
        {"run: x\n? [a]\n: b", "f:2:3: a key must be a word, not a list or mapping"},
        {"run: *a", "f:1:6: the alias has no anchor before it"},
        {"run: x\nenvs: &a {b: *a}", "f:2:14: the alias stands inside its own anchor"},
        {"run: x\nenvs: {<<: {a: b}}",
         "f:2:8: merge keys (<<) are not supported; repeat the entries"},
        {"run: !!binary aGVsbG8=",
         "f:1:6: tag 'tag:yaml.org,2002:binary' is not supported; write the plain value"},
        {"run: !x y", "f:1:6: tag '!x' is not supported; write the plain value"},
        {"run: x\n---\nrun: y", "f:2:1: a second document; chains of tasks are not supported, "
                                "submit each in a file of its own"},
        {"run: \"a\\0b\"", "f:1:6: the text has a NUL character"},
        {"run: x\nname: \xff", "f:2:7: byte 0xff is not UTF-8 text; is this a job file?"},
        {"run: \xc3\xa9\x01", "f:1:7: byte 0x01 is not UTF-8 text; is this a job file?"},
        {"[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]", "f:1:17: nested deeper than 16 levels"},
    };
    check_rows(rows, WEIR_ARRAY_LEN(rows));
    check_yaml((struct weir_sv){"run: x\0y", 8},
               "f:1:7: byte 0x00 is not UTF-8 text; is this a job file?");
}

static void unknown_keys_are_refused_with_the_nearest(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"runn: x", "f:1:1: unknown key 'runn'; did you mean 'run'?"},
        {"image_id: docker:x", "f:1:1: unknown key 'image_id'; did you mean 'resources.image_id'?"},
        {"run: x\nresources:\n  acelerators: A100",
         "f:3:3: unknown key 'acelerators' in resources; did you mean 'accelerators'?"},
        {"run: x\nplacement: {cloud: aws}",
         "f:2:13: unknown key 'cloud' in placement; did you mean 'clouds'?"},
        {"run: x\ncheckpoint: {evry: 1m}",
         "f:2:14: unknown key 'evry' in checkpoint; did you mean 'every'?"},
        {"run: x\nzzzzzzzz: 1",
         "f:2:1: unknown key 'zzzzzzzz'; see docs/guide/job-file.md for the keys"},
    };
    check_rows(rows, WEIR_ARRAY_LEN(rows));
}

static void bad_values_are_refused_by_name(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"name: x", "f: the job has no command; add for example run: python train.py"},
        {"run: '  '", "f: the job has no command; add for example run: python train.py"},
        {"run: x\nargv: [y]", "f: run and argv are both given; leave out one of the two"},
        {"argv: []", "f:1:7: argv: the list is empty"},
        {"run: x\ncurrency: EURO", "f:2:11: currency: 'EURO' is the code of no currency: it is three capitals, such as EUR"},
        {"run: x\ncurrency: EUR\nmax_cost: $4", "f:3:11: max_cost: the job's amounts are in EUR and in USD: write all in one currency, that of the ledger"},
        {"run: x\nmax_cost: 4 USD\ndelay_cost: 1 JPY", "f:3:13: delay_cost: the job's amounts are in USD and in JPY: write all in one currency, that of the ledger"},
        {"argv: x",
         "f:1:7: argv: must be a list of a command and its arguments, not a single value"},
        {"run: {a: b}", "f:1:6: run: must be a single value, not a mapping"},
        {"run: x\nname: ''", "f:2:7: name: is empty; leave the key out instead"},
        {"run: x\nname: \"a\\nb\"", "f:2:7: name: must be one line of text"},
        {"run: x\nproject: 'a b'",
         "f: project 'a b' may have letters, digits and . _ - / + : @ = only"},
        {"run: x\ntags: {'a b': c}",
         "f: tags: a tag's name 'a b' may have letters, digits and . _ - / + : @ = only"},
        {"run: x\ntags: [a]", "f:2:7: tags: must be a mapping of names to values, not a list"},
        {"run: x\nenvs: {A: }",
         "f:2:11: envs: 'A' has no value; give it one with --env NAME=VALUE, or write \"\" where it is to be empty"},
        {"run: x\nenvs: {1A: x}", "f: envs: '1A' is not a variable's name: letters, digits and _, "
                                  "not beginning with a digit"},
        {"run: x\nenvs: {A: [1]}", "f:2:11: envs: must be a single value, not a list"},
        {"run: x\nresources: {accelerators: A100:0}",
         "f:2:27: resources.accelerators: 0 GPUs in 'A100:0': a node has 1 to 32; spread more over "
         "num_nodes"},
        {"run: x\nresources: {accelerators: A100:64}",
         "f:2:27: resources.accelerators: 64 GPUs in 'A100:64': a node has 1 to 32; spread more "
         "over num_nodes"},
        {"run: x\nresources: {accelerators: A100:x}",
         "f:2:27: resources.accelerators: GPU count of 'A100:x': 'x' is not a whole number"},
        {"run: x\nresources: {accelerators: 'A:1:2'}",
         "f:2:27: resources.accelerators: GPU count of 'A:1:2': '1:2' is not a whole number"},
        {"run: x\nresources: {accelerators: '@'}",
         "f:2:27: resources.accelerators: '@' is not a GPU such as A100:8, A100-80GB or 2"},
        {"run: x\nresources: {accelerators: tpu-v4-8}",
         "f:2:27: resources.accelerators: 'tpu-v4-8': TPUs are not supported; ask for a GPU"},
        {"run: x\nresources: {accelerators: [[A100]]}",
         "f:2:28: resources.accelerators: must be a GPU such as A100:8, not a list"},
        {"run: x\nresources: {accelerators: [1,2,3,4,5,6,7,8,9]}",
         "f:2:44: resources.accelerators: at most 8 alternative GPUs are allowed"},
        {"run: x\nresources: {gpu_memory: 40}", "f: resources.gpu_memory asks for memory of a GPU, "
                                                "but no GPU is asked for; add accelerators: 1"},
        {"run: x\nresources: {cpus: 0}",
         "f:2:19: resources.cpus: must be more than 0 and at most 100000 cores"},
        {"run: x\nresources: {cpus: many}",
         "f:2:19: resources.cpus: 'many' is not a number with at most 3 decimal places"},
        {"run: x\nresources: {memory: 64X}",
         "f:2:21: resources.memory: '64X' is not a size such as 512M or 64G"},
        {"run: x\nresources: {memory: 0}",
         "f:2:21: resources.memory: must be more than 0 and at most 1099511627776 MiB"},
        {"run: x\nresources: {use_spot: maybe}",
         "f:2:23: resources.use_spot: 'maybe' is not auto, true or false"},
        {"run: x\nresources: {image_id: 'docker:--privileged'}",
         "f: resources.image_id: '--privileged' is not the name of an image"},
        {"run: x\nresources: {image_id: ami-123}",
         "f:2:23: resources.image_id: 'ami-123' is not a container image; write docker:IMAGE "
         "(machine images are not supported)"},
        {"run: x\nnum_nodes: 0", "f:2:12: num_nodes: 0 is not between 1 and 256"},
        {"run: x\nnum_nodes: two", "f:2:12: num_nodes: 'two' is not a whole number"},
        {"run: x\narray: 5-1", "f:2:8: array: array range '5-1' ends before it begins"},
        {"run: x\nplacement: {local: maybe}",
         "f:2:20: placement.local: 'maybe' is not prefer, only or never"},
        {"run: x\nplacement: {same_zone: us-east-1a}",
         "f:2:24: placement.same_zone: 'us-east-1a' is not true or false"},
        {"run: x\nplacement: {local: only, clouds: [aws]}",
         "f: placement: clouds and regions have no meaning with local: only; leave out one of the "
         "two"},
        {"run: x\nplacement: {local: only}\nresources: {use_spot: true}",
         "f: resources.use_spot: true rents spot machines only, but placement has local: only; "
         "leave out one of the two"},
        {"run: x\nplacement: {clouds: ['a b']}",
         "f:2:22: placement.clouds: 'a b' is not the name of a cloud or a pattern such as eu-*"},
        {"run: x\nplacement: {regions: [0123456789012345678901234567890123]}",
         "f:2:23: placement.regions: region '0123456789012345678901234567890123...' is longer than "
         "31 bytes"},
        {"run: x\nplacement: {clouds: [a,b,c,d,e,f,g,h,i]}",
         "f:2:38: placement.clouds: at most 8 clouds may be named; use a pattern such as eu-*"},
        {"run: x\ndeadline: soon", "f:2:11: deadline: 'soon' is neither a time such as "
                                   "2026-11-22T19:00:00Z nor a duration from now such as 36h"},
        {"run: x\nmax_cost: 0", "f:2:11: max_cost: must be more than 0 (leave it out for no limit) "
                                "and at most 1000000000"},
        {"run: x\nmax_cost: cheap",
         "f:2:11: max_cost: 'cheap' is not an amount of money such as 2.50"},
        {"run: x\nmax_duration: 0s",
         "f:2:15: max_duration: must be longer than 0 and at most 3650 days"},
        {"run: x\nmax_duration: 4000d",
         "f:2:15: max_duration: must be longer than 0 and at most 3650 days"},
        {"run: x\ncheckpoint: {signal: BANG}",
         "f:2:22: checkpoint.signal: 'BANG' is not a signal such as USR1, TERM or 10"},
        {"run: x\nretries: -1", "f:2:10: retries: '-1' is not a whole number"},
        {"run: x\npriority: 1001", "f:2:11: priority: 1001 is not between 0 and 1000"},
        {"run: x\ninputs: {data: s3://b}",
         "f: inputs: 'data' is not an absolute path in the run, such as /data"},
        {"run: x\noutputs: {/a/../b: s3://b}",
         "f: outputs: '/a/../b' is not an absolute path in the run, such as /data"},
        {"run: x\ninputs: {/data: ''}",
         "f: inputs: '/data' needs a source such as s3://bucket/folder"},
        {"run: x\nworkdir: {url: https://github.com/a/b}",
         "f:2:10: workdir: a git repository is not fetched; name a folder, and clone in setup"},
    };
    check_rows(rows, WEIR_ARRAY_LEN(rows));
}

static void skypilot_keys_are_honoured_or_refused(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"run: x\nservice: {replicas: 1}",
         "f:2:10: service: services are not supported; weir runs jobs that end"},
        {"run: x\nresources: {max_hourly_cost: 3}",
         "f:2:30: resources.max_hourly_cost: a limit per hour is not supported; use max_cost for "
         "the whole job"},
        {"run: x\nresources: {instance_type: p3.2xlarge}",
         "f:2:28: resources.instance_type: an instance type alone does not say what the job needs; "
         "add accelerators, or cpus and memory"},
        {"run: x\nresources: {cloud: aws, image_id: {us-east-1: ami-1}}",
         "f:2:35: resources.image_id: machine images by region are not supported; name a container "
         "image, docker:IMAGE"},
        {"run: x\nresources: {job_recovery: {recover_on_exit_codes: [33]}}",
         "f:2:51: resources.job_recovery.recover_on_exit_codes: restarts by exit code are not "
         "supported; use retries"},
        {"run: x\nresources: {job_recovery: {stratgy: x}}",
         "f:2:28: unknown key 'stratgy' in resources.job_recovery; did you mean 'strategy'?"},
        {"run: x\nresources: {any_of: [], ordered: []}",
         "f:2:34: resources: any_of and ordered are both given; leave out one of the two"},
        {"run: x\nresources: {any_of: []}", "f:2:21: resources.any_of: must be a list of "
                                            "candidates such as [{infra: aws}, {infra: gcp}]"},
        {"run: x\nresources: {any_of: [{cpus: 2}, {cpus: 4}]}",
         "f:2:33: resources.any_of: candidates may differ in accelerators, place and use_spot "
         "only; give the rest once, outside"},
        {"run: x\nresources: {any_of: [{accelerators: L4}, {cloud: aws}]}",
         "f:2:42: resources.any_of: either all candidates name accelerators or none"},
        {"run: x\nresources: {any_of: [{any_of: [{cpus: 1}]}]}",
         "f:2:31: resources.any_of: may not stand inside any_of or ordered"},
        {"run: x\nfile_mounts: {~/data: s3://b}",
         "f:2:23: file_mounts: '~/data' is not an absolute path; a run has no home folder of its "
         "own, write for example /data"},
        {"run: x\nfile_mounts: {/d: {name: newbucket}}",
         "f:2:19: file_mounts: a bucket without one source is not made; create it and name it as "
         "source: s3://bucket"},
        {"run: x\nfile_mounts: {/d: {source: ./x, mode: MOUNT}}",
         "f:2:19: file_mounts: './x' is not uploaded to a bucket; upload it and name it as source: "
         "s3://bucket"},
        {"run: x\nfile_mounts: {/d: {source: s3://b, mode: LINK}}",
         "f:2:42: file_mounts: mode is COPY, MOUNT or MOUNT_CACHED"},
        {"run: x\nsecrets: {A: null}",
         "f:2:14: secrets: 'A' has no value; give it one with --env NAME=VALUE, or write \"\" where it is to be empty"},
        {"run: x\nresources: {infra: k8s/my/context}",
         "{\"name\":\"f\","
         "\"resources\":{\"cpus\":\"1\",\"use_spot\":false},\"run\":\"x\",\"placement\":{"
         "\"clouds\":[\"kubernetes\"],\"regions\":[\"my/"
         "context\"]},\"max_duration\":\"24h\",\"checkpoint\":{\"grace\":\"30s\"},\"origin\":"
         "\"skypilot\"}"},
        {"run: x\nresources: {infra: '*/*/us-east-1a', use_spot: true}",
         "{\"name\":\"f\","
         "\"resources\":{\"cpus\":\"1\",\"use_spot\":true},\"run\":\"x\",\"placement\":{"
         "\"regions\":[\"us-east-1\"]},\"max_duration\":\"24h\",\"checkpoint\":{\"grace\":\"30s\"},"
         "\"origin\":\"skypilot\"}"},
    };
    check_rows(rows, WEIR_ARRAY_LEN(rows));
}

static void aliases_cannot_explode(void **state)
{
    (void)state;
    struct weir_str text = WEIR_STR_INIT(1 << 20);
    weir_str_adds(&text, "run: x\na0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for (int i = 1; i < 12; i++) {
        weir_str_addf(&text, "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i,
                      i, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    }
    check_yaml(weir_str_sv(&text), "f:6:10: more than 20000 values, aliases expanded");
    weir_str_release(&text);
}

static void large_input_is_refused(void **state)
{
    (void)state;
    struct weir_str text = WEIR_STR_INIT(4 << 20);
    weir_str_adds(&text, "run: x\nenvs:\n");
    for (int i = 0; i < WEIR_SPEC_ENVS_MAX + 1; i++) {
        weir_str_addf(&text, "  V%d: x\n", i);
    }
    check_yaml(weir_str_sv(&text), "f:3:3: envs: 513 entries; at most 512 are allowed");
    weir_str_clear(&text);
    weir_str_adds(&text, "run: x\nz: [");
    for (int i = 0; i < 1100; i++) {
        weir_str_adds(&text, "1,");
    }
    weir_str_adds(&text, "]\n");
    check_yaml(weir_str_sv(&text), "f:2:2053: more than 1024 entries in one list or mapping");
    weir_str_clear(&text);
    while (text.n <= WEIR_SPEC_BYTES_MAX) {
        weir_str_adds(&text, "# a comment\n");
    }
    struct weir_err err;
    struct weir_spec *s = NULL;
    assert_int_equal(weir_spec_parse(weir_str_sv(&text), "f", NULL, &s, &err), -WEIR_ELIMIT);
    assert_string_equal(err.text, "f: 1048584 bytes; a job file has at most 1048576");
    weir_str_release(&text);
}

static void json_is_strict(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"{\"run\":\"x\",\"name\":\"n\"}", NULL},
        {"{\"run\":\"x\",\"max_cost\":2.5,\"retries\":3,\"resources\":{\"cpus\":0.25,\"use_spot\":"
         "true}}",
         NULL},
        {"{\"run\":\"x\",\"resources\":{\"accelerators\":[1,[2]]}}",
         "resources.accelerators: must be a GPU such as A100:8, not a list"},
        {"{\"run\":\"x\",\"resources\":{\"accelerator\":1}}",
         "unknown key 'accelerator' in resources; did you mean 'accelerators'?"},
        {"{\"run\":\"x\",\"resources\":{\"cloud\":\"aws\"}}",
         "resources.cloud: is a key of SkyPilot's files, which the API does not take; submit the "
         "file with weir submit"},
        {"{\"run\":\"x\",\"resources\":3}", "resources: must be a mapping, not a single value"},
        {"{\"run\":7}", "run: must be text"},
        {"{\"run\":[\"x\"]}", "run: must be a single value, not a list"},
        {"{\"run\":\"x\",\"num_nodes\":1.5}", "num_nodes: '1.5' is not a whole number"},
        {"{\"run\":\"x\",\"max_cost\":1e300}",
         "max_cost: '1e+300' is not an amount of money such as 2.50"},
        {"{\"run\":\"x\",\"origin\":\"moon\"}", "origin: is not weir, skypilot, slurm or command"},
        {"[]", "the job: must be a mapping, not a list"},
        {"[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]", "nested deeper than 16 levels"},
        {"{}", "the job has no command; add for example run: python train.py"},
    };
    struct weir_gpu_table *gpus = weir_gpu_table_new();
    for (size_t i = 0; i < WEIR_ARRAY_LEN(rows); i++) {
        json_t *root = json_loads(rows[i].text, 0, NULL);
        struct weir_spec *s = NULL;
        struct weir_err err = {{0}};
        assert_non_null(root);
        int r = weir_spec_from_json(root, gpus, &s, &err);
        assert_string_equal(r == 0 ? "" : err.text, rows[i].want == NULL ? "" : rows[i].want);
        struct weir_spec *again = NULL;
        assert_int_equal(weir_spec_from_json(root, gpus, &again, NULL), r);
        weir_spec_free(again);
        json_decref(root);
        weir_spec_free(s);
    }
    weir_gpu_table_free(gpus);
}

static void arrays_are_counted_and_numbered(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t count;
        uint32_t parallel;
        uint32_t first, last; /* index of the first and last task */
    } good[] = {
        {"0-99%10", 100, 10, 0, 99}, {"1,3,5-9:2", 5, 0, 1, 9},
        {"7", 1, 0, 7, 7},           {"0-15:4", 4, 0, 0, 12},
        {"5,1-3", 4, 0, 5, 3},       {"1-9:2,2-8:2", 9, 0, 1, 8},
        {" 0-3 % 2 ", 4, 2, 0, 3},   {"999999999", 1, 0, 999999999, 999999999},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(good); i++) {
        struct weir_spec *s = weir_spec_new();
        assert_int_equal(weir_spec_parse_array(weir_sv_of(good[i].text), s, NULL), 0);
        assert_int_equal(weir_spec_task_count(s), good[i].count);
        assert_int_equal(s->array_parallel, good[i].parallel);
        assert_int_equal(weir_array_index(s->range, s->n_ranges, 0), good[i].first);
        assert_int_equal(weir_array_index(s->range, s->n_ranges, good[i].count - 1), good[i].last);
        assert_int_equal(weir_array_index(s->range, s->n_ranges, good[i].count), UINT32_MAX);
        for (uint32_t k = 0; k < good[i].count; k++) {
            uint32_t index = weir_array_index(s->range, s->n_ranges, k);
            assert_int_equal(weir_array_ordinal(s->range, s->n_ranges, index), k);
        }
        weir_spec_free(s);
    }
    static const struct row bad[] = {
        {"", "the array is empty; write it as 0-99 or 1,3,5-9:2%4"},
        {"%5", "the array is empty; write it as 0-99 or 1,3,5-9:2%4"},
        {"0-9%0", "array limit after '%': 0 is not between 1 and 1000000"},
        {"a", "array range 'a': 'a' is not a whole number"},
        {"1,,2", "array range '': '' is not a whole number"},
        {"1-5:0", "array range '1-5:0': 0 is not between 1 and 999999999"},
        {"5:2", "array range '5:2' has a step but no end; write 0-5:2"},
        {"9-1", "array range '9-1' ends before it begins"},
        {"1-5,5-9", "array ranges 1-5 and 5-9 overlap; each index may occur once"},
        {"0-20:4,0-20:6", "array ranges 0-20 and 0-18 overlap; each index may occur once"},
        {"2-20:4,1-20:6", NULL},
        {"3,3", "array ranges 3-3 and 3-3 overlap; each index may occur once"},
        {"0-1000000", "the array has 1000001 tasks; at most 1000000 are allowed"},
        {"4000000000", "array range '4000000000': 4000000000 is not between 0 and 999999999"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(bad); i++) {
        struct weir_spec *s = weir_spec_new();
        struct weir_err err = {{0}};
        int r = weir_spec_parse_array(weir_sv_of(bad[i].text), s, &err);
        assert_string_equal(err.text, bad[i].want == NULL ? "" : bad[i].want);
        assert_int_equal(r == 0, bad[i].want == NULL);
        weir_spec_free(s);
    }
    struct weir_spec *s = weir_spec_new();
    assert_int_equal(weir_spec_task_count(s), 1);
    assert_int_equal(weir_array_index(s->range, 0, 0), 0);
    assert_int_equal(weir_array_ordinal(s->range, 0, 0), 0);
    assert_int_equal(weir_array_ordinal(s->range, 0, 1), UINT32_MAX);
    weir_spec_free(s);
}

/* The overlap test by numbers against marking every index. */
static void overlaps_are_exact(void **state)
{
    (void)state;
    for (uint32_t a = 0; a < 6; a++) {
        for (uint32_t s1 = 1; s1 < 7; s1++) {
            for (uint32_t b = 0; b < 20; b++) {
                for (uint32_t s2 = 1; s2 < 7; s2++) {
                    char text[64];
                    (void)snprintf(text, sizeof text, "%u-%u:%u,%u-%u:%u", a, a + 17, s1, b, b + 9,
                                   s2);
                    bool meet = false;
                    for (uint32_t x = a; x <= a + 17; x += s1) {
                        meet = meet || (x >= b && x <= b + 9 && (x - b) % s2 == 0);
                    }
                    struct weir_spec *s = weir_spec_new();
                    assert_int_equal(weir_spec_parse_array(weir_sv_of(text), s, NULL) != 0, meet);
                    weir_spec_free(s);
                }
            }
        }
    }
}

static void task_references_are_read(void **state)
{
    (void)state;
    struct weir_job_id job;
    uint32_t index;
    bool has_index;
    assert_int_equal(weir_parse_task_ref(WEIR_SV("12"), &job, &index, &has_index, NULL), 0);
    assert_int_equal(job.v, 12);
    assert_false(has_index);
    assert_int_equal(weir_parse_task_ref(WEIR_SV("12_7"), &job, &index, &has_index, NULL), 0);
    assert_int_equal(index, 7);
    assert_true(has_index);
    static const char *const bad[] = {
        "", "0", "x", "12_", "_7", "12_x", "1 2", "-1", "99999999999999999999", "1_4294967295"};
    for (size_t i = 0; i < WEIR_ARRAY_LEN(bad); i++) {
        struct weir_err err;
        assert_int_equal(weir_parse_task_ref(weir_sv_of(bad[i]), &job, &index, &has_index, &err),
                         -WEIR_EINVAL);
    }
}

static void the_gpu_syntax_of_the_command_line(void **state)
{
    (void)state;
    struct weir_gpu_table *gpus = weir_gpu_table_new();
    struct weir_request q = {0};
    struct weir_err err;
    assert_int_equal(weir_spec_parse_gpus(WEIR_SV("H100:8,A100:4"), gpus, &q, &err), 0);
    assert_int_equal(q.alternatives, 2);
    assert_int_equal(q.alternative[1].count, 4);
    assert_string_equal(weir_gpu_table_get(gpus, q.alternative[1].model)->name, "A100");
    assert_int_equal(weir_spec_parse_gpus(WEIR_SV("2"), gpus, &q, &err), 0);
    assert_int_equal(q.alternatives, 1);
    assert_int_equal(q.alternative[0].model, WEIR_GPU_MODEL_ANY);
    assert_int_equal(q.alternative[0].count, 2);
    assert_int_equal(q.alternative[1].count, 0);
    assert_int_equal(weir_spec_parse_gpus(WEIR_SV("none"), gpus, &q, &err), 0);
    assert_int_equal(q.alternatives, 0);
    assert_int_equal(weir_spec_parse_gpus(WEIR_SV(""), gpus, &q, &err), -WEIR_EINVAL);
    assert_string_equal(err.text, "no GPU is named; write A100:8, 2 (any model) or none");
    assert_int_equal(weir_spec_parse_gpus(WEIR_SV("A100:2,40GB:1"), gpus, &q, &err), -WEIR_EINVAL);
    weir_gpu_table_free(gpus);
}

static void finish_fills_defaults_once(void **state)
{
    (void)state;
    struct weir_spec *s = weir_spec_new();
    struct weir_err err;
    assert_int_equal(weir_spec_finish(s, &err), -WEIR_EINVAL);
    s->argv = weir_calloc(2, sizeof *s->argv);
    s->argv[0] = weir_strdup("/usr/bin/python3");
    assert_int_equal(weir_spec_finish(s, &err), 0);
    assert_string_equal(s->name, "python3");
    assert_int_equal(s->request.max_duration.us, 24 * WEIR_US_PER_HOUR);
    assert_int_equal(s->request.cpu_milli, 1000);
    s->request.cpu_milli = 3000;
    s->request.stage_bytes = 1;
    assert_int_equal(weir_spec_finish(s, &err), 0);
    assert_int_equal(s->request.cpu_milli, 3000);
    assert_int_equal(s->request.stage_bytes, 1 << 20);
    s->argv[0][1] = '\xff';
    assert_int_equal(weir_spec_finish(s, &err), -WEIR_EINVAL);
    assert_string_equal(err.text,
                        "argv is not UTF-8 text; encode the bytes, or read them from a file");
    s->argv[0][1] = '\x1b';
    assert_int_equal(weir_spec_finish(s, &err), 0);
    s->workdir = weir_strdup("a\nb");
    assert_int_equal(weir_spec_finish(s, &err), -WEIR_EINVAL);
    assert_string_equal(err.text, "workdir must be one line of text");
    s->workdir[1] = '_';
    s->priority = -1;
    assert_int_equal(weir_spec_finish(s, &err), -WEIR_EOVERFLOW);
    assert_string_equal(err.text, "priority is -1; 0 to 1000 are possible");
    weir_spec_free(s);
}

static void unknown_models_are_warned_of(void **state)
{
    (void)state;
    struct weir_gpu_table *gpus = weir_gpu_table_new();
    struct weir_spec *s = NULL;
    assert_int_equal(
        weir_spec_parse(WEIR_SV("run: x\nresources: {accelerators: H10O:2}"), "f", gpus, &s, NULL),
        0);
    assert_int_equal(s->n_warnings, 1);
    assert_string_equal(s->warning[0], "GPU 'H10O' is not a known model; did you mean 'H100'?");
    weir_spec_free(s);
    weir_gpu_table_free(gpus);
}

static void requests_leave_room_for_models_that_there_are(void **state)
{
    (void)state;
    struct weir_gpu_table *gpus = weir_gpu_table_new();
    struct weir_err err = {{0}};
    int r = 0;
    for (int i = 0; r == 0 && i < WEIR_GPU_MODELS_MAX; i++) {
        char text[32];
        struct weir_request request = {0};
        (void)snprintf(text, sizeof text, "TYPO%d:1", i);
        r = weir_spec_parse_gpus(weir_sv_of(text), gpus, &request, &err);
    }
    assert_int_equal(r, -WEIR_ELIMIT);
    assert_non_null(strstr(err.text, "one unknown model too many"));
    assert_int_not_equal(weir_gpu_table_intern(gpus, WEIR_SV("B9000")), WEIR_GPU_MODEL_ANY);
    struct weir_request request = {0};
    assert_int_equal(weir_spec_parse_gpus(WEIR_SV("B9000:1"), gpus, &request, &err), 0); /* now it is known */
    weir_gpu_table_free(gpus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(yaml_values_are_read_in_their_forms),
        cmocka_unit_test(bad_yaml_is_refused_with_its_place),
        cmocka_unit_test(unknown_keys_are_refused_with_the_nearest),
        cmocka_unit_test(bad_values_are_refused_by_name),
        cmocka_unit_test(skypilot_keys_are_honoured_or_refused),
        cmocka_unit_test(aliases_cannot_explode),
        cmocka_unit_test(large_input_is_refused),
        cmocka_unit_test(json_is_strict),
        cmocka_unit_test(arrays_are_counted_and_numbered),
        cmocka_unit_test(overlaps_are_exact),
        cmocka_unit_test(task_references_are_read),
        cmocka_unit_test(the_gpu_syntax_of_the_command_line),
        cmocka_unit_test(finish_fills_defaults_once),
        cmocka_unit_test(unknown_models_are_warned_of),
        cmocka_unit_test(requests_leave_room_for_models_that_there_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
