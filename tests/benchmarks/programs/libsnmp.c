/* Sends one notification again and again with libsnmp; prints the nanoseconds of wall-clock and of CPU time.

   usage: libsnmp trap|inform ADDRESS COUNT, where ADDRESS is net-snmp's, such as udp:127.0.0.1:162 */

#include <net-snmp/net-snmp-config.h>
#include <net-snmp/net-snmp-includes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static long long nanoseconds(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void add_text(netsnmp_pdu *pdu, oid object, const char *text)
{
    oid name[] = {1, 3, 6, 1, 4, 1, 52312, 1, 1, object};
    snmp_pdu_add_variable(pdu, name, COUNT(name), ASN_OCTET_STR, text, strlen(text));
}

static netsnmp_pdu *notification(int kind)
{
    static const oid sys_up_time[] = {1, 3, 6, 1, 2, 1, 1, 3, 0};
    static const oid snmp_trap_oid[] = {1, 3, 6, 1, 6, 3, 1, 1, 4, 1, 0};
    static const oid started[] = {1, 3, 6, 1, 4, 1, 52312, 1, 0, 2};
    oid time_stamp[] = {1, 3, 6, 1, 4, 1, 52312, 1, 1, 1};
    u_long ticks = 100;
    struct counter64 seconds = {0, 1723468573};
    netsnmp_pdu *pdu = snmp_pdu_create(kind);

    snmp_pdu_add_variable(pdu, sys_up_time, COUNT(sys_up_time), ASN_TIMETICKS, &ticks, sizeof ticks);
    snmp_pdu_add_variable(pdu, snmp_trap_oid, COUNT(snmp_trap_oid), ASN_OBJECT_ID, started, sizeof started);
    add_text(pdu, 5, "1a2b3c4d-0000-4000-8000-000000000003");
    add_text(pdu, 4, "install");
    add_text(pdu, 3, "default_tenant");
    add_text(pdu, 2, "dep1");
    snmp_pdu_add_variable(pdu, time_stamp, COUNT(time_stamp), ASN_COUNTER64, &seconds, sizeof seconds);
    add_text(pdu, 6, "{\"note\": \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}");
    return pdu;
}

int main(int argc, char **argv)
{
    netsnmp_session settings, *session;
    int is_inform, left;
    long long wall, cpu;

    if (argc != 4)
        return 2;
    is_inform = strcmp(argv[1], "inform") == 0;
    init_snmp_logging();
    snmp_sess_init(&settings);
    settings.version = SNMP_VERSION_2c;
    settings.peername = argv[2];
    settings.community = (u_char *)"public";
    settings.community_len = strlen("public");
    session = snmp_open(&settings);
    if (session == NULL)
        return 1;
    wall = nanoseconds(CLOCK_MONOTONIC);
    cpu = nanoseconds(CLOCK_PROCESS_CPUTIME_ID);
    for (left = atoi(argv[3]); left > 0; left--) {
        if (is_inform) {
            netsnmp_pdu *answer = NULL;
            if (snmp_synch_response(session, notification(SNMP_MSG_INFORM), &answer) != STAT_SUCCESS)
                return 1;
            snmp_free_pdu(answer);
        } else if (!snmp_send(session, notification(SNMP_MSG_TRAP2))) {
            return 1;
        }
    }
    cpu = nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    wall = nanoseconds(CLOCK_MONOTONIC) - wall;
    printf("%lld %lld\n", wall, cpu);
    return 0;
}
