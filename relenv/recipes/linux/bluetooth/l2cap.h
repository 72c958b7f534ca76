#ifndef RELENV_L2CAP_H
#define RELENV_L2CAP_H
#include <bluetooth/bluetooth.h>

struct sockaddr_l2 {
    sa_family_t l2_family;
    uint16_t l2_psm;
    bdaddr_t l2_bdaddr;
    uint16_t l2_cid;
    uint8_t l2_bdaddr_type;
};
#endif
