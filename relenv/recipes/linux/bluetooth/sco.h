#ifndef RELENV_SCO_H
#define RELENV_SCO_H
#include <bluetooth/bluetooth.h>

struct sockaddr_sco {
    sa_family_t sco_family;
    bdaddr_t sco_bdaddr;
};
#endif
