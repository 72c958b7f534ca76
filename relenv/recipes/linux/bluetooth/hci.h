#ifndef RELENV_HCI_H
#define RELENV_HCI_H
#include <bluetooth/bluetooth.h>

#define SOL_HCI 0
#define HCI_DATA_DIR 1
#define HCI_FILTER 2
#define HCI_TIME_STAMP 3

struct sockaddr_hci {
    sa_family_t hci_family;
    uint16_t hci_dev;
    uint16_t hci_channel;
};
#endif
