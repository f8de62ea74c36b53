# rings.py DIR ACCOUNT CONTAINER OBJECT: rings of 16 partitions with one replica on one device, for servers on these ports of 127.0.0.1.
import sys
from swift.common.ring import RingBuilder

folder, ports = sys.argv[1], sys.argv[2:]
for name, port in zip(("account", "container", "object"), map(int, ports)):
    builder = RingBuilder(4, 1, 0)
    builder.add_dev(dict(region=1, zone=1, ip="127.0.0.1", port=port, device="d1", weight=1,
                         replication_ip="127.0.0.1", replication_port=port, meta=""))
    builder.rebalance()
    builder.get_ring().save(f"{folder}/{name}.ring.gz")
