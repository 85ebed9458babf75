//! The machines of the services that several servers need: a database and a load balancer.

use std::fs;

use crate::{Machine, Site, peers, tls::Ca};

/// What the machine of the database does once it has booted. PostgreSQL's shared memory is in files of this machine, because all machines
/// have the folder for such memory in common, and one that loses power would leave its memory there.
const START_POSTGRESQL: &str = r#"
programs=/usr/lib/postgresql/15/bin data=/var/lib/postgresql/db
ln -sf $programs/psql /usr/local/bin/
id postgres >/dev/null 2>&1 || useradd --system --home-dir /var/lib/postgresql --shell /usr/sbin/nologin postgres
install -d -o postgres /var/lib/postgresql $data
runuser -u postgres -- $programs/initdb --auth-local=trust --encoding=UTF8 --locale=C --no-sync --pgdata $data
install -m 600 -o postgres db.crt $data/server.crt
install -m 600 -o postgres db.key $data/server.key
printf '%s\n' "listen_addresses='*'" ssl=on fsync=off jit=off dynamic_shared_memory_type=mmap >>$data/postgresql.conf
echo 'hostssl all all 10.0.0.0/24 scram-sha-256' >>$data/pg_hba.conf
printf '%s\n' '[Service]' Type=notify User=postgres RuntimeDirectory=postgresql "ExecStart=$programs/postgres -D $data" \
    >/etc/systemd/system/postgresql.service
systemctl daemon-reload
systemctl start postgresql
"#;

impl Site {
    /// Boots `db`, on which PostgreSQL runs. The other machines need TLS and a password there, and root on `db` is any role without a
    /// password. root's home has `db-ca.crt`, the CA of its certificate. `None`, with the reason printed, if PostgreSQL is missing.
    pub fn boot_database(&self) -> Option<Machine> {
        peers::program("postgresql/bin", "postgres")?;
        let database = self.boot_with("db", &["postgresql"]);
        let identity = Ca::new().server("db.corp");
        for (file, copy) in [(&identity.ca, "db-ca.crt"), (&identity.certificate, "db.crt"), (&identity.key, "db.key")]
        {
            database.writes(copy, &fs::read_to_string(file).unwrap());
        }
        database.types(START_POSTGRESQL);
        Some(database)
    }

    /// Boots `proxy`, on which HAProxy is installed. `None`, with the reason printed, if it is missing.
    pub fn boot_proxy(&self) -> Option<Machine> {
        peers::program("haproxy/bin", "haproxy")?;
        Some(self.boot_with("proxy", &["haproxy"]))
    }
}
