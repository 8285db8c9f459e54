//! The future that a seam returns: boxed, because a trait object has no other way.

use std::future::Future;
use std::pin::Pin;

/// A future behind a seam.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
