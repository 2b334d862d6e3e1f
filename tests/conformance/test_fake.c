/* SPDX-License-Identifier: Apache-2.0 */
/* The fake that other tests stand on keeps the contract as well. */

#include "conformance.h"
#include "fake_provider.h"

int main(void)
{
    static const struct weir_conformance_subject subject = {
        .name = "fake",
        .ops = &weir_fake_provider,
        .self_exe = "/bin/false",
        .add_foreign = weir_fake_add_foreign,
    };
    int failed = weir_conformance_run(&subject);
    weir_fake_reset();
    return failed;
}
