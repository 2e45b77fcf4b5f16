"""What harms a picture: resizing, blur, noise, masks, watermarks, clouds; and the colour spaces."""
