"""What a site costs a month, from the resources that its programs declare and the contracts' price tables; no account is asked."""
