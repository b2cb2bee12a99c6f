//! The one integration binary: a file per stage, through the public door.
