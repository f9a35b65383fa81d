"""Small models whose contexts are enumerated, so that losses and Hessians are exact."""
