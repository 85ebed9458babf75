use convene_lifecycle::NewClusterToken;

/// Draws a token like those of discovery.etcd.io: 128 random bits from the operating system, in hexadecimal.
pub fn draw_token() -> NewClusterToken {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system has random numbers");
    format!("{:032x}", u128::from_be_bytes(bytes)).parse().expect("hexadecimal digits make a token")
}
