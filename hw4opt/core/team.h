/* Parallel work on one problem. The threads belong to the caller and run core_help; this file has only the atomic
   counters that they share with the leader. Work is divided into numbered groups independently of the number of
   threads, so that sums do not depend on it. */

#ifndef HW4OPT_TEAM_H
#define HW4OPT_TEAM_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

typedef void (*group_act)(void *data, size_t group);

typedef struct {
    _Atomic uint64_t ticket; /* high half: number of the work item; low half: groups not yet taken */
    _Atomic uint64_t done;   /* finished groups */
    _Atomic int closed;      /* 1 after the last work item */
    group_act act;
    void *data;
} core_team;

/* Run act(data, g) for g = 0 … groups - 1 with the helping threads, or in this thread alone if team is NULL. */
void team_run(core_team *team, group_act act, void *data, size_t groups);

#endif
