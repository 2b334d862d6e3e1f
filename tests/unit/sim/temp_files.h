/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Inputs of a test as files: a folder that is made before the tests of a program and removed with all that is in it after
 * them, and in it the file "input" that most tests need. To be included by one file of a program, after cmocka.h.
 */

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[] = "/tmp/weir-test-sim-XXXXXX";
static char path[64];

/* For cmocka_run_group_tests. */
static inline int make_dir(void **state)
{
    (void)state;
    if (mkdtemp(dir) == NULL) {
        return -1;
    }
    snprintf(path, sizeof path, "%s/input", dir);
    return 0;
}

static inline int remove_dir(void **state)
{
    (void)state;
    DIR *d = opendir(dir);
    for (struct dirent *e = d == NULL ? NULL : readdir(d); e != NULL; e = readdir(d)) {
        if (e->d_name[0] != '.') {
            (void)unlinkat(dirfd(d), e->d_name, 0);
        }
    }
    if (d != NULL) {
        closedir(d);
    }
    return rmdir(dir);
}

static inline void put_bytes(const char *file, const void *bytes, size_t n)
{
    FILE *f = fopen(file, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* Writes the input. */
static inline void put(const char *text)
{
    put_bytes(path, text, strlen(text));
}
