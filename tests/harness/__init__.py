"""What the tests are made with: servers, faults, clocks, and what several of them ask."""
