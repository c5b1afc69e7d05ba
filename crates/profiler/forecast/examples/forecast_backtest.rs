//! Speaks the stream protocol of backtests on standard input and output.
//!
//! `forecast_backtest [--stream] [--model FILE]`; without a model, the residual blocks speak alone.

use std::io::{BufRead, Write};
use tidegate_forecast::backtest::Stream;
use tidegate_forecast::models::trained::Trained;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut trained = Trained::default();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--stream" => {}
            "--model" => {
                let path = arguments.next().ok_or("--model needs a file")?;
                trained = Trained::from_bytes(&std::fs::read(path)?)?;
            }
            _ => return Err(format!("unknown argument {argument}").into()),
        }
    }
    let mut stream = Stream::new(trained);
    let mut input = std::io::stdin().lock();
    let mut output = std::io::stdout().lock();
    let (mut line, mut answer) = (String::new(), String::new());
    while input.read_line(&mut line)? > 0 {
        match stream.line(&line, &mut answer) {
            Ok(true) => {}
            Ok(false) => break,
            Err(refused) => eprintln!("{refused}"),
        }
        if !answer.is_empty() {
            output.write_all(answer.as_bytes())?;
            output.flush()?;
            answer.clear();
        }
        line.clear();
    }
    Ok(())
}
