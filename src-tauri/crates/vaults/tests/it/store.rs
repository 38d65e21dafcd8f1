//! A vault in a real S3-compatible store: Ceph's gateway, with what can go wrong there.

use crate::{Failing, data, stream};
use clusterdeck_domain::{BackupId, Sensitive, VaultFault};
use clusterdeck_driver::{DriverError, Vault as _};
use clusterdeck_testkit::{
    ObjectStore,
    object_store::{BUCKET, SECRET},
};
use clusterdeck_vaults::{Bucket, new_key};
use std::time::{Duration, Instant};

fn vault(store: &ObjectStore, bucket: &str, secret: &str) -> Bucket {
    Bucket::new("store", &store.place(bucket), &Sensitive::new(secret.to_owned())).unwrap()
}

fn fault(told: &DriverError) -> Option<VaultFault> {
    match told {
        DriverError::Vault { fault, .. } => Some(*fault),
        _ => None,
    }
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut number = 0x2545_f491_4f6c_dd1d_u64;
    let mut made = Vec::with_capacity(bytes + 8);
    while made.len() < bytes {
        // xorshift64: nothing can be packed in it, and it is the same each time.
        number ^= number << 13;
        number ^= number >> 7;
        number ^= number << 17;
        made.extend_from_slice(&number.to_le_bytes());
    }
    made.truncate(bytes);
    made
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_takes_large_copies_in_parts_gives_them_back_and_says_what_is_wrong() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let store = tokio::task::spawn_blocking(ObjectStore::start).await.unwrap();
    let (bucket, key, backup) = (vault(&store, BUCKET, SECRET), new_key(), BackupId::new(7));
    bucket.check().await.unwrap();

    // Small and in several parts.
    let large = noise(50 << 20);
    let get = async |backup: &BackupId, piece: &str| {
        let mut back = Vec::new();
        bucket.get(backup, piece, &mut back, &key).await.map(|()| back)
    };
    bucket.put(&backup, "shard-0", &mut stream(&data()), &key).await.unwrap();
    let begun = Instant::now();
    let stored = bucket.put(&backup, "shard-1", &mut stream(&large), &key).await.unwrap();
    println!("50 MiB went up in {:?}", begun.elapsed());
    assert!(stored >= large.len() as u64);
    assert!(get(&backup, "shard-0").await.unwrap() == data());
    assert!(get(&backup, "shard-1").await.unwrap() == large, "every byte of every part");
    bucket.put_note(&backup, "manifest.json", b"{}").await.unwrap();
    assert_eq!(bucket.backups().await.unwrap(), std::slice::from_ref(&backup));

    // A copy that is cut off leaves nothing under its name, and what was there.
    let cut = BackupId::new(8);
    for bytes in [0, 40 << 20] {
        let told = bucket.put(&cut, "data", &mut Failing(bytes), &key).await.unwrap_err();
        assert!(told.to_string().contains("the server went away"), "{told}");
        assert!(matches!(get(&cut, "data").await, Err(DriverError::Gone { .. })));
    }

    // A gateway that is killed in the middle and comes back: the upload goes on where it was.
    let again = BackupId::new(9);
    let mut coming = stream(&large);
    let (upload, ()) = tokio::join!(bucket.put(&again, "data", &mut coming, &key), async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        store.kill_gateway();
        tokio::task::block_in_place(|| store.start_gateway());
    });
    upload.unwrap();
    assert!(get(&again, "data").await.unwrap() == large, "nothing of it is lost or twice");

    // What is wrong is told apart.
    let told = vault(&store, BUCKET, "another secret").check().await.unwrap_err();
    assert!(fault(&told) == Some(VaultFault::Refused) && told.to_string().contains("access key"), "{told:?}");
    let told = vault(&store, "nowhere", SECRET).check().await.unwrap_err();
    assert!(told.to_string().contains("no such bucket"), "{told}");
    tokio::task::block_in_place(|| {
        store.admin("quota set --quota-scope=bucket --uid=clusterdeck --max-size=180M");
        store.admin("quota enable --quota-scope=bucket --uid=clusterdeck");
    });
    let full = loop {
        // What a gateway knows of the use of a bucket is some seconds old.
        match bucket.put(&BackupId::new(10), "data", &mut stream(&large), &key).await {
            Err(full) => break full,
            Ok(_) => assert!(begun.elapsed() < Duration::from_secs(90), "the quota is enforced"),
        }
    };
    assert!(fault(&full) == Some(VaultFault::Full) && full.to_string().contains("is full"), "{full:?}");
    assert!(get(&backup, "shard-1").await.unwrap() == large, "what was there is as it was");
    bucket.remove(&backup).await.unwrap();
    bucket.remove(&backup).await.unwrap();
    assert!(matches!(get(&backup, "shard-0").await, Err(DriverError::Gone { .. })));
}
