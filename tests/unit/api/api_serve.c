/* SPDX-License-Identifier: Apache-2.0 */
/* The fixture as a server for tools from elsewhere: prints its URL, serves until its input ends. */

#include "api_fixture.h"

#include <stdio.h>

int main(void)
{
    static struct fixture f;
    fixture_start(&f);
    (void)printf("%s\n", f.url);
    (void)fflush(stdout);
    while (getchar() != EOF) {
    }
    fixture_stop(&f);
    return 0;
}
