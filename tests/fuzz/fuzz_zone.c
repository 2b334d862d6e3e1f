/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of time zones: whatever one says, the end of a day or month is after its beginning, and offsets are bounded.
 */

#include "base/assert.h"
#include "base/mem.h"
#include "base/zone.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    WEIR_CLEANUP(weir_zone_freep) struct weir_zone *z = NULL;
    if (weir_zone_parse(&z, data, size, NULL) < 0) {
        WEIR_ASSERT(z == NULL);
        return 0;
    }
    for (int64_t year = -40; year < 200; year += 7) {
        struct weir_wall t = {year * 365 * WEIR_US_PER_DAY + 12345};
        int64_t offset = weir_zone_offset_s(z, t);
        WEIR_ASSERT(offset >= -26 * 3600 && offset <= 26 * 3600);
        for (int unit = WEIR_ZONE_DAY; unit <= WEIR_ZONE_MONTH; unit++) {
            WEIR_ASSERT(weir_zone_period_end(z, (enum weir_zone_unit)unit, t).us > t.us);
        }
        (void)weir_zone_to_wall(z, weir_wall_to_date(t));
    }
    return 0;
}
