"""Describe a machine for VirtualBox: ovf.py VMDK GIGABYTES MEMORY. SATA disk, one NAT card, two CPUs."""

import os
import sys

TEMPLATE = """<?xml version="1.0" encoding="UTF-8"?>
<Envelope ovf:version="1.0" xml:lang="en-US" xmlns="http://schemas.dmtf.org/ovf/envelope/1" \
xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" \
xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData" \
xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData">
  <References><File ovf:id="file1" ovf:href="{name}" ovf:size="{size}"/></References>
  <DiskSection>
    <Info>Disks</Info>
    <Disk ovf:diskId="vmdisk1" ovf:fileRef="file1" ovf:capacity="{capacity}" \
ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/>
  </DiskSection>
  <NetworkSection>
    <Info>Networks</Info>
    <Network ovf:name="NAT"><Description>NAT</Description></Network>
  </NetworkSection>
  <VirtualSystem ovf:id="devbox">
    <Info>A virtual machine</Info>
    <OperatingSystemSection ovf:id="96"><Info>Guest system</Info><Description>Debian_64</Description>\
</OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>Hardware</Info>
      <System>
        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>devbox</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>virtualbox-2.2</vssd:VirtualSystemType>
      </System>
{items}
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
"""
ITEMS = (  # in the order of names that OVF demands
    {"ElementName": "2 virtual CPUs", "InstanceID": 1, "ResourceType": 3, "VirtualQuantity": 2},
    {"AllocationUnits": "MegaBytes", "ElementName": "memory", "InstanceID": 2, "ResourceType": 4,
     "VirtualQuantity": "M"},
    {"Address": 0, "ElementName": "sata", "InstanceID": 3, "ResourceSubType": "AHCI", "ResourceType": 20},
    {"AddressOnParent": 0, "ElementName": "disk", "HostResource": "/disk/vmdisk1", "InstanceID": 4, "Parent": 3,
     "ResourceType": 17},
    {"AutomaticAllocation": "true", "Connection": "NAT", "ElementName": "network", "InstanceID": 5,
     "ResourceSubType": "E1000", "ResourceType": 10},
)  # fmt: skip


def item(values: dict[str, object], memory: str) -> str:
    """One piece of hardware; "M" stands for the memory."""
    lines = "".join(
        f"        <rasd:{key}>{memory if value == 'M' else value}</rasd:{key}>\n" for key, value in values.items()
    )
    return f"      <Item>\n{lines}      </Item>"


vmdk, gigabytes, megabytes = sys.argv[1:]
sys.stdout.write(
    TEMPLATE.format(
        name=os.path.basename(vmdk),
        size=os.path.getsize(vmdk),
        capacity=int(gigabytes) << 30,
        items="\n".join(item(values, megabytes) for values in ITEMS),
    )
)
