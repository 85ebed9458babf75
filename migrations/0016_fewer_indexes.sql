-- The search for clusters without registrations reads `cluster_forming`: an ID grows with the time of its creation. A new cluster thus
-- writes to one index less.
drop index cluster_unregistered;
