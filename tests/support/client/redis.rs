//! Numbers as keys of Redis, one node or sharded.

use super::{ANSWER, Numbers, Result};
use redis::{ConnectionLike, RedisResult};

struct Redis {
    open: Box<dyn ConnectionLike + Send>,
    sharded: bool,
}

pub(super) fn connect(url: &str, sharded: bool) -> Result<Box<dyn Numbers>> {
    let open = open(url, sharded).map_err(|e| e.to_string())?;
    Ok(Box::new(Redis { open, sharded }))
}

fn open(url: &str, sharded: bool) -> RedisResult<Box<dyn ConnectionLike + Send>> {
    if sharded {
        let client = redis::cluster::ClusterClientBuilder::new([url])
            .connection_timeout(ANSWER)
            .response_timeout(ANSWER)
            .retries(4)
            .build()?;
        return Ok(Box::new(client.get_connection()?));
    }
    let connection = redis::Client::open(url)?.get_connection_with_timeout(ANSWER)?;
    connection.set_read_timeout(Some(ANSWER))?;
    connection.set_write_timeout(Some(ANSWER))?;
    Ok(Box::new(connection))
}

impl Redis {
    fn read(&mut self, numbers: &[u64]) -> RedisResult<Vec<u64>> {
        let mut lost = Vec::new();
        if self.sharded {
            // Keys of different slots, one by one.
            for number in numbers {
                let found: Option<u64> =
                    redis::cmd("GET").arg(format!("w:{number}")).query(&mut *self.open)?;
                lost.extend((found != Some(*number)).then_some(*number));
            }
            return Ok(lost);
        }
        for chunk in numbers.chunks(500) {
            let mut ask = redis::cmd("MGET");
            for number in chunk {
                ask.arg(format!("w:{number}"));
            }
            let found: Vec<Option<u64>> = ask.query(&mut *self.open)?;
            lost.extend(chunk.iter().zip(found).filter(|(n, v)| *v != Some(**n)).map(|(n, _)| *n));
        }
        Ok(lost)
    }
}

impl Numbers for Redis {
    fn put(&mut self, number: u64) -> Result<()> {
        let put = redis::cmd("SET").arg(format!("w:{number}")).arg(number).query(&mut *self.open);
        put.map_err(|e: redis::RedisError| e.to_string())
    }
    fn lacks(&mut self, numbers: &[u64]) -> Result<Vec<u64>> {
        self.read(numbers).map_err(|e| e.to_string())
    }
}
