use drover_tracker::NmeaReader;
#[test]
fn nmea() {
    let line = |body: String| { let sum = body.bytes().fold(0, |s, b| s ^ b); format!("${body}*{sum:02X}\r\n") };
    let mut input = String::new();
    let n = 3600*10;
    for s in 0..n {
        let t = format!("{:02}{:02}{:02}.00", s / 3600, s / 60 % 60, s % 60);
        input += &line(format!("GNRMC,{t},A,6010.20000,N,02456.40000,E,10.0,90.5,020326,,,A"));
        input += &line(format!("GNGGA,{t},6010.20000,N,02456.40000,E,1,09,0.9,31.5,M,17.0,M,,"));
        input += &line("GNVTG,90.5,T,,M,10.0,N,18.5,K,A".into());
    }
    let mut r = NmeaReader::new(); let mut fixes = Vec::new();
    let now = tokio::time::Instant::now();
    for piece in input.as_bytes().chunks(180) { r.push(now, piece, &mut fixes); fixes.clear(); }
    println!("nmea per 3-sentence cycle: {} ns, {:?}", now.elapsed().as_nanos() / n as u128, r.counts());
}
