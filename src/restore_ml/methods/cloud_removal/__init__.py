"""Methods that recover pixels hidden by clouds from another date."""
