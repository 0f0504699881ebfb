"""Networks: address pool, bridges, published ports, links and hosts files."""
