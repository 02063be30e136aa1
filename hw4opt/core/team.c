#include "team.h"

#include "core.h"

#if defined(_WIN32)
#include <windows.h>
#define YIELD() SwitchToThread()
#else
#include <sched.h>
#define YIELD() sched_yield()
#endif

static const uint64_t LEFT = 0xffffffff; /* mask of a ticket's groups that are not yet taken */

/* Take one group and run it; returns whether there was one. The leader does not change `act` and `data` until all
   groups are finished. */
static int work_once(core_team *team) {
    uint64_t ticket = atomic_load(&team->ticket);
    do {
        if ((ticket & LEFT) == 0) return 0;
    } while (!atomic_compare_exchange_weak(&team->ticket, &ticket, ticket - 1));
    team->act(team->data, (size_t)(ticket & LEFT) - 1);
    atomic_fetch_add(&team->done, 1);
    return 1;
}

void team_run(core_team *team, group_act act, void *data, size_t groups) {
    if (!team || groups == 1) {
        for (size_t group = 0; group < groups; group++) act(data, group);
        return;
    }
    const uint64_t piece = (atomic_load(&team->ticket) & ~LEFT) + LEFT + 1;
    team->act = act, team->data = data;
    atomic_store(&team->done, 0);
    atomic_store(&team->ticket, piece | groups);
    while (work_once(team)) continue;
    while (atomic_load(&team->done) < groups) YIELD();
}

CORE_API size_t core_team_size(void) { return sizeof(core_team); }

/* Run groups until the team is closed. */
CORE_API int core_help(core_team *team) {
    while (!atomic_load(&team->closed))
        if (!work_once(team)) YIELD();
    return CORE_DONE;
}

CORE_API void core_close_team(core_team *team) { atomic_store(&team->closed, 1); }
